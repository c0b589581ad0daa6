#define _GNU_SOURCE
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

int dial(long long port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct timeval silence = {.tv_sec = SILENCE_SECONDS};
    int on = 1;
    if (fd < 0)
        die("no socket: %s", strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof silence);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &silence, sizeof silence);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        die("cannot connect: %s", strerror(errno));
    return fd;
}

void send_all(int fd, const void *data, size_t size)
{
    const char *at = data;
    while (size > 0) {
        ssize_t sent = send(fd, at, size, MSG_NOSIGNAL);
        if (sent <= 0)
            die("cannot send: %s", strerror(errno));
        at += sent;
        size -= (size_t)sent;
    }
}

/* The value of the header `name` (with its colon) in one line, or NULL. */
static const char *value_of(const char *line, const char *name)
{
    size_t size = strlen(name);
    if (strncasecmp(line, name, size) != 0)
        return NULL;
    return line + size + strspn(line + size, " \t");
}

static void take_location(const char *value, char *location)
{
    const char *host = strstr(value, "//");
    const char *end = strpbrk(value, "\r\n");
    if (host != NULL && host < end && (host == value || host[-1] == ':'))
        value = strchr(host + 2, '/');
    if (value == NULL || end - value >= LOCATION_BYTES)
        die("a Location that is too long or has no path");
    memcpy(location, value, (size_t)(end - value));
    location[end - value] = '\0';
}

size_t parse_reply(const char *data, size_t size, struct reply *reply)
{
    const char *end = memmem(data, size, "\r\n\r\n", 4);
    if (end == NULL)
        return 0;
    memset(reply, 0, sizeof *reply);
    reply->length = reply->offset = -1;
    reply->status = size > 12 ? atoi(data + 9) : 0;
    for (const char *line = data; line < end; line = memmem(line, (size_t)(end + 2 - line), "\r\n", 2) + 2) {
        const char *value;
        if ((value = value_of(line, "Content-Length:")) != NULL)
            reply->length = atoll(value);
        else if ((value = value_of(line, "Upload-Offset:")) != NULL)
            reply->offset = atoll(value);
        else if ((value = value_of(line, "Connection:")) != NULL)
            reply->closes = strncasecmp(value, "close", 5) == 0;
        else if ((value = value_of(line, "Transfer-Encoding:")) != NULL)
            reply->chunked = strncasecmp(value, "chunked", 7) == 0;
        else if ((value = value_of(line, "Location:")) != NULL)
            take_location(value, reply->location);
    }
    return (size_t)(end + 4 - data);
}

int body_is_whole(const struct reply *reply, const char *body, size_t size)
{
    if (reply->status == 204 || reply->status == 304 || reply->status < 200)
        return 1;
    if (reply->chunked)
        return size >= 5 && memcmp(body + size - 5, "0\r\n\r\n", 5) == 0;
    return reply->length <= 0 || (long long)size >= reply->length;
}

static void read_head_and(int fd, struct reply *reply, int with_body)
{
    char buffer[HEAD_BYTES];
    size_t size = 0, head = 0;
    for (;;) {
        ssize_t got = recv(fd, buffer + size, sizeof buffer - size, 0);
        if (got <= 0)
            die("the server closed or said nothing for %d s (%zu bytes of a reply): %s", SILENCE_SECONDS, size,
                got < 0 ? strerror(errno) : "end of stream");
        size += (size_t)got;
        head = parse_reply(buffer, size, reply);
        while (head > 0 && reply->status < 200) { /* an interim reply */
            memmove(buffer, buffer + head, size - head);
            size -= head;
            head = parse_reply(buffer, size, reply);
        }
        if (head > 0 && (!with_body || body_is_whole(reply, buffer + head, size - head)))
            return;
        if (size == sizeof buffer)
            die("a reply of more than %d bytes", HEAD_BYTES);
    }
}

void read_reply(int fd, struct reply *reply) { read_head_and(fd, reply, 1); }

void ask(int fd, struct reply *reply, const char *format, ...)
{
    char request[LOCATION_BYTES + 1024];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(request, sizeof request, format, arguments);
    va_end(arguments);
    send_all(fd, request, (size_t)size);
    read_head_and(fd, reply, strncmp(request, "HEAD", 4) != 0);
}

void create_upload(int fd, const char *path, long long bytes, struct reply *reply)
{
    ask(fd, reply,
        "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nTus-Resumable: 1.0.0\r\nUpload-Length: %lld\r\n"
        "Upload-Metadata: " METADATA "\r\nContent-Length: 0\r\n\r\n",
        path, bytes);
    if (reply->status != 201 || reply->location[0] == '\0')
        die("creation got status %d", reply->status);
}

long long told_offset(long long port, const char *path)
{
    struct reply reply;
    int fd = dial(port);
    ask(fd, &reply, "HEAD %s HTTP/1.1\r\nHost: 127.0.0.1\r\nTus-Resumable: 1.0.0\r\n\r\n", path);
    close(fd);
    return reply.offset;
}
