/* One download. By default the bytes are thrown away inside the kernel, so that the client costs next to nothing;
 * check=1 compares them with what the bulk mode sent. */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_BYTES MIB
#define PATTERN_BYTES (64 * MIB)

/* Compares `size` bytes of the download, from position `at`. */
static void compare(const uint8_t *pattern, const char *data, long long at, long long size)
{
    while (size > 0) {
        long long from = at % PATTERN_BYTES, left = PATTERN_BYTES - from, part = size < left ? size : left;
        if (memcmp(pattern + from, data, (size_t)part) != 0)
            die("the download differs from what was sent between %lld and %lld", at, at + part);
        at += part;
        data += part;
        size -= part;
    }
}

void run_download(int count, char **arguments)
{
    long long port = number(count, arguments, "port", -1);
    const char *path = text(count, arguments, "path", NULL);
    int check = number(count, arguments, "check", 0) != 0;
    const uint8_t *pattern = NULL;
    char *buffer = malloc(BUFFER_BYTES), request[LOCATION_BYTES + 128];
    struct reply reply;
    size_t head = 0, size = 0;
    if (check)
        pattern_file(PATTERN_BYTES, &pattern);
    int fd = dial(port);
    double started = now(), cpu = cpu_seconds();
    int length = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", path);
    send_all(fd, request, (size_t)length);
    while (head == 0) {
        ssize_t got = recv(fd, buffer + size, HEAD_BYTES - size, 0);
        if (got <= 0)
            die("no reply: %s", got < 0 ? strerror(errno) : "end of stream");
        size += (size_t)got;
        head = parse_reply(buffer, size, &reply);
    }
    if (reply.status != 200 || reply.length < 0)
        die("download got status %d and length %lld", reply.status, reply.length);
    long long received = (long long)(size - head);
    if (check)
        compare(pattern, buffer + head, 0, received);
    while (received < reply.length) {
        long long left = reply.length - received;
        ssize_t got = recv(fd, buffer, (size_t)(left < BUFFER_BYTES ? left : BUFFER_BYTES), check ? 0 : MSG_TRUNC);
        if (got <= 0)
            die("the download ends after %lld bytes: %s", received, got < 0 ? strerror(errno) : "end of stream");
        if (check)
            compare(pattern, buffer, received, got);
        received += got;
    }
    double seconds = now() - started;
    printf("{\"seconds\": %.6f, \"bytes\": %lld, \"client_cpu\": %.6f}\n", seconds, received, cpu_seconds() - cpu);
    close(fd);
    free(buffer);
}
