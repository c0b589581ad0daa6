/* HEAD of one upload at a steady rate, until its input ends. */
#define _GNU_SOURCE
#include "load.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST_HEADS 100000

/* Waits until `moment`; 1 when the input has ended before. */
static int ended_before(double moment)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    double left = moment - now();
    int milliseconds = left > 0 ? (int)(left * 1e3) : 0;
    if (poll(&input, 1, milliseconds) > 0)
        return 1;
    /* poll() counts in milliseconds. */
    left = moment - now();
    if (left > 0)
        usleep((useconds_t)(left * 1e6));
    return 0;
}

void run_heads(int count, char **arguments)
{
    long long port = number(count, arguments, "port", -1);
    double pause = 1.0 / (double)number(count, arguments, "per_second", 50);
    const char *path = text(count, arguments, "path", NULL);
    double *latencies = calloc(MOST_HEADS, sizeof *latencies);
    struct reply reply = {.closes = 1};
    int fd = -1;
    long long done = 0;
    double due = now(), cpu = cpu_seconds();
    for (; done < MOST_HEADS; due += pause) {
        /* One is sent in any case. */
        if (done > 0 && ended_before(due))
            break;
        if (reply.closes) {
            if (fd >= 0)
                close(fd);
            fd = dial(port);
        }
        ask(fd, &reply, "HEAD %s HTTP/1.1\r\nHost: 127.0.0.1\r\nTus-Resumable: 1.0.0\r\n\r\n", path);
        if (reply.status != 200 && reply.status != 204)
            die("HEAD got status %d", reply.status);
        /* From the moment at which it was due: one that waits keeps those behind it waiting, which counts. */
        latencies[done++] = now() - due;
    }
    sort(latencies, done);
    printf("{\"heads\": %lld, \"client_cpu\": %.6f, \"p50\": %.6f, \"p99\": %.6f, \"longest\": %.6f}\n", done,
           cpu_seconds() - cpu, latencies[done / 2], latencies[done * 99 / 100], latencies[done - 1]);
    free(latencies);
}
