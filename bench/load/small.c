/* Small uploads over a few connections that are kept alive, each with one request under way. */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST_CONNECTIONS 1024

struct connection {
    int fd;
    uint32_t watched; /* what the kernel tells us about */
    int patching;     /* the reply that is awaited is that of a PATCH */
    double started;   /* when the upload under way began */
    char *out;        /* the request under way */
    size_t out_size, out_sent;
    char in[HEAD_BYTES];
    size_t in_size;
    char location[LOCATION_BYTES]; /* of the last upload that was done */
};

struct run {
    long long port, bytes;
    const char *path;
    int with_upload; /* the bytes come with the creation */
    int only_create; /* no bytes come at all */
    long long most;  /* uploads after which it ends, whatever the time */
    char *body;
    int epoll;
    double until;
    long long done, reconnects;
    double *latencies;
    size_t room;
};

static void watch(struct run *run, struct connection *c, uint32_t interest)
{
    struct epoll_event event = {.events = interest, .data.ptr = c};
    if (c->watched != interest)
        epoll_ctl(run->epoll, EPOLL_CTL_MOD, c->fd, &event);
    c->watched = interest;
}

static void send_more(struct run *run, struct connection *c)
{
    while (c->out_sent < c->out_size) {
        ssize_t sent = send(c->fd, c->out + c->out_sent, c->out_size - c->out_sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EAGAIN)
            break;
        if (sent <= 0)
            die("cannot send: %s", strerror(errno));
        c->out_sent += (size_t)sent;
    }
    watch(run, c, c->out_sent < c->out_size ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

/* Sends the creation of the next upload, or the PATCH of the one that was created. */
static void request(struct run *run, struct connection *c)
{
    long long body = !run->only_create && (c->patching || run->with_upload) ? run->bytes : 0;
    const char *typed = body > 0 ? "Content-Type: application/offset+octet-stream\r\n" : "";
    int size;
    if (c->patching)
        size = snprintf(c->out, HEAD_BYTES,
                        "PATCH %s HTTP/1.1\r\nHost: 127.0.0.1\r\nTus-Resumable: 1.0.0\r\n%sUpload-Offset: 0\r\n"
                        "Content-Length: %lld\r\n\r\n",
                        c->location, typed, body);
    else {
        c->started = now();
        size = snprintf(c->out, HEAD_BYTES,
                        "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nTus-Resumable: 1.0.0\r\n%sUpload-Length: %lld\r\n"
                        "Upload-Metadata: " METADATA "\r\nContent-Length: %lld\r\n\r\n",
                        run->path, typed, run->bytes, body);
    }
    memcpy(c->out + size, run->body, (size_t)body);
    c->out_size = (size_t)(size + body);
    c->out_sent = 0;
    c->in_size = 0;
    send_more(run, c);
}

static void connect_to(struct run *run, struct connection *c)
{
    c->fd = dial(run->port);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    c->watched = EPOLLIN;
    epoll_ctl(run->epoll, EPOLL_CTL_ADD, c->fd, &event);
}

static void count_upload(struct run *run, double seconds)
{
    if ((size_t)run->done == run->room) {
        run->room = run->room ? run->room * 2 : 4096;
        run->latencies = realloc(run->latencies, run->room * sizeof *run->latencies);
    }
    run->latencies[run->done++] = seconds;
}

/* Reads what is there; returns 1 when the connection has nothing more to do. */
static int receive(struct run *run, struct connection *c)
{
    struct reply reply;
    ssize_t got = recv(c->fd, c->in + c->in_size, sizeof c->in - c->in_size, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN)
        return 0;
    if (got <= 0)
        die("the server closed a connection: %s", got < 0 ? strerror(errno) : "end of stream");
    c->in_size += (size_t)got;
    size_t head = parse_reply(c->in, c->in_size, &reply);
    if (head == 0 || !body_is_whole(&reply, c->in + head, c->in_size - head))
        return 0;
    if (reply.status != (c->patching ? 204 : 201))
        die("%s got status %d", c->patching ? "PATCH" : "POST", reply.status);
    if ((c->patching || run->with_upload) && reply.offset >= 0 && reply.offset != run->bytes)
        die("%lld bytes were sent, the server tells offset %lld", run->bytes, reply.offset);
    if (!c->patching)
        strcpy(c->location, reply.location);
    if (reply.closes) {
        run->reconnects++;
        close(c->fd);
        connect_to(run, c);
    }
    if (c->patching || run->with_upload || run->only_create) {
        count_upload(run, now() - c->started);
        c->patching = 0;
        if (now() >= run->until || run->done >= run->most)
            return 1;
    } else
        c->patching = 1;
    request(run, c);
    return 0;
}

void run_small(int count, char **arguments)
{
    struct run run = {.port = number(count, arguments, "port", -1),
                      .bytes = number(count, arguments, "bytes", 4096),
                      .path = text(count, arguments, "path", NULL),
                      .with_upload = number(count, arguments, "with_upload", 0) != 0,
                      .only_create = number(count, arguments, "only_create", 0) != 0,
                      .most = number(count, arguments, "most", 1LL << 40)};
    long long connections = number(count, arguments, "connections", 16);
    long long milliseconds = number(count, arguments, "milliseconds", 3000);
    if (connections < 1 || connections > MOST_CONNECTIONS)
        die("connections=1..%d", MOST_CONNECTIONS);
    struct connection *all = calloc((size_t)connections, sizeof *all);
    struct epoll_event events[64];
    run.body = malloc((size_t)run.bytes);
    memset(run.body, 'x', (size_t)run.bytes);
    run.epoll = epoll_create1(0);
    for (long long i = 0; i < connections; i++) {
        all[i].out = malloc((size_t)(HEAD_BYTES + run.bytes));
        connect_to(&run, &all[i]);
    }
    double started = now(), cpu = cpu_seconds();
    run.until = started + (double)milliseconds / 1e3;
    for (long long i = 0; i < connections; i++)
        request(&run, &all[i]);
    for (long long open = connections; open > 0;) {
        int ready = epoll_wait(run.epoll, events, 64, SILENCE_SECONDS * 1000);
        if (ready == 0)
            die("no reply for %d s", SILENCE_SECONDS);
        for (int i = 0; i < ready; i++) {
            struct connection *c = events[i].data.ptr;
            if (events[i].events & EPOLLOUT)
                send_more(&run, c);
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                open -= receive(&run, c);
        }
    }
    double seconds = now() - started;
    cpu = cpu_seconds() - cpu;
    long long right = 0;
    for (long long i = 0; i < connections; i++)
        right += told_offset(run.port, all[i].location) == (run.only_create ? 0 : run.bytes);
    sort(run.latencies, run.done);
    printf("{\"seconds\": %.6f, \"uploads\": %lld, \"client_cpu\": %.6f, \"p50\": %.6f, \"p99\": %.6f, "
           "\"reconnects\": %lld, \"asked\": %lld, \"right\": %lld}\n",
           seconds, run.done, cpu, run.latencies[run.done / 2], run.latencies[run.done * 99 / 100], run.reconnects,
           connections, right);
}
