/* One upload over one connection, in one PATCH or in several. */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

/* Larger than the last cache of most machines, so that what is read comes from memory as in life. */
#define PATTERN_BYTES (64 * MIB)

/* Sends `count` bytes of the repeated pattern, from position `at` of the upload. */
static void send_pattern(int fd, int pattern, long long at, long long count)
{
    while (count > 0) {
        off_t from = (off_t)(at % PATTERN_BYTES);
        long long left = PATTERN_BYTES - from;
        ssize_t sent = sendfile(fd, pattern, &from, (size_t)(count < left ? count : left));
        if (sent < 0 && (errno == EPIPE || errno == ECONNRESET))
            return; /* the reply says why */
        if (sent <= 0)
            die("cannot send: %s", strerror(errno));
        at += sent;
        count -= sent;
    }
}

static void patch(int fd, const char *location, int pattern, long long at, long long count)
{
    char head[LOCATION_BYTES + 512];
    struct reply reply;
    int size = snprintf(head, sizeof head,
                        "PATCH %s HTTP/1.1\r\nHost: 127.0.0.1\r\nTus-Resumable: 1.0.0\r\n"
                        "Content-Type: application/offset+octet-stream\r\nUpload-Offset: %lld\r\n"
                        "Content-Length: %lld\r\n\r\n",
                        location, at, count);
    send_all(fd, head, (size_t)size);
    send_pattern(fd, pattern, at, count);
    read_reply(fd, &reply);
    if (reply.status != 204 || reply.offset != at + count)
        die("PATCH at %lld got status %d and offset %lld", at, reply.status, reply.offset);
}

void run_bulk(int count, char **arguments)
{
    long long port = number(count, arguments, "port", -1);
    long long bytes = number(count, arguments, "bytes", -1);
    long long step = number(count, arguments, "patch", bytes);
    const char *path = text(count, arguments, "path", NULL);
    const uint8_t *mapped;
    int pattern = pattern_file(PATTERN_BYTES, &mapped);
    struct reply created;
    int fd = dial(port);
    create_upload(fd, path, bytes, &created);
    if (created.closes) {
        close(fd);
        fd = dial(port);
    }
    double started = now(), cpu = cpu_seconds();
    for (long long at = 0; at < bytes; at += step)
        patch(fd, created.location, pattern, at, bytes - at < step ? bytes - at : step);
    double seconds = now() - started;
    cpu = cpu_seconds() - cpu;
    close(fd);
    printf("{\"seconds\": %.6f, \"bytes\": %lld, \"client_cpu\": %.6f, \"location\": \"%s\", \"offset\": %lld}\n",
           seconds, bytes, cpu, created.location, told_offset(port, created.location));
}
