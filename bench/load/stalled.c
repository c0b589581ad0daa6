/* Many PATCH requests that stop after their first bytes. Says when all of them stand, holds them until its input ends. */
#define _GNU_SOURCE
#include "load.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Length of each upload: more than is sent of it, so that the server goes on waiting. */
#define UPLOAD_BYTES MIB

void run_stalled(int count, char **arguments)
{
    long long port = number(count, arguments, "port", -1);
    long long connections = number(count, arguments, "connections", -1);
    long long bytes = number(count, arguments, "bytes", 64 * 1024);
    const char *path = text(count, arguments, "path", NULL);
    int *stalled = calloc((size_t)connections, sizeof *stalled);
    char *body = malloc((size_t)bytes), head[LOCATION_BYTES + 512];
    struct reply created;
    memset(body, 'x', (size_t)bytes);
    created.closes = 1;
    int creating = -1;
    double started = now(), cpu = cpu_seconds();
    for (long long i = 0; i < connections; i++) {
        if (created.closes) {
            if (creating >= 0)
                close(creating);
            creating = dial(port);
        }
        create_upload(creating, path, UPLOAD_BYTES, &created);
        int size = snprintf(head, sizeof head,
                            "PATCH %s HTTP/1.1\r\nHost: 127.0.0.1\r\nTus-Resumable: 1.0.0\r\n"
                            "Content-Type: application/offset+octet-stream\r\nUpload-Offset: 0\r\n"
                            "Content-Length: %lld\r\n\r\n",
                            created.location, UPLOAD_BYTES);
        stalled[i] = dial(port);
        send_all(stalled[i], head, (size_t)size);
        send_all(stalled[i], body, (size_t)bytes);
    }
    close(creating);
    printf("{\"seconds\": %.6f, \"connections\": %lld, \"bytes\": %lld, \"client_cpu\": %.6f, \"location\": \"%s\"}\n",
           now() - started, connections, bytes, cpu_seconds() - cpu, created.location);
    fflush(stdout);
    while (getchar() != EOF)
        ;
    for (long long i = 0; i < connections; i++)
        close(stalled[i]);
    free(stalled);
    free(body);
}
