/* The load generator of the benchmark: one mode a file, everything they share here. */
#ifndef TUSFLEET_BENCH_LOAD_H
#define TUSFLEET_BENCH_LOAD_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define MIB (1024LL * 1024LL)
/* Longest head of a reply that any of the servers sends, with room. */
#define HEAD_BYTES 16384
#define LOCATION_BYTES 1024
/* "bench.bin" and "application/octet-stream": tuspyserver asks for both. */
#define METADATA "filename YmVuY2guYmlu,filetype YXBwbGljYXRpb24vb2N0ZXQtc3RyZWFt"
/* A server that says nothing for so long is not measured any more. */
#define SILENCE_SECONDS 120

/* What we need of a reply's head. */
struct reply {
    int status;
    int closes;                    /* the server ends the connection after it */
    int chunked;                   /* the body is in chunks */
    long long length;              /* Content-Length, -1 when there is none */
    long long offset;              /* Upload-Offset, -1 when there is none */
    char location[LOCATION_BYTES]; /* the path of Location, without scheme and host */
};

/* common.c: clocks, arguments, the pattern that is sent */
double now(void);
double cpu_seconds(void);
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
long long number(int count, char **arguments, const char *name, long long otherwise);
const char *text(int count, char **arguments, const char *name, const char *otherwise);
/* Puts numbers into their order. */
void sort(double *numbers, long long count);
/* A memory file of `bytes` bytes in which every eight bytes differ, and the same as memory. */
int pattern_file(long long bytes, const uint8_t **mapped);

/* http.c: one connection, blocking */
int dial(long long port);
void send_all(int fd, const void *data, size_t size);
/* Bytes of the head in `data`, or 0 when it is not whole yet. */
size_t parse_reply(const char *data, size_t size, struct reply *reply);
/* 1 when the body of `reply`, of which `size` bytes are there, is whole. */
int body_is_whole(const struct reply *reply, const char *body, size_t size);
/* Reads one reply with its body, which must be small. */
void read_reply(int fd, struct reply *reply);
/* One request without a body. */
void ask(int fd, struct reply *reply, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Creates an upload and returns its path in `reply->location`. */
void create_upload(int fd, const char *path, long long bytes, struct reply *reply);
/* The offset that the server tells for the upload at `path`, by HEAD on a connection of its own. */
long long told_offset(long long port, const char *path);

/* one mode each; every one prints one line of JSON */
void run_bulk(int count, char **arguments);
void run_small(int count, char **arguments);
void run_stalled(int count, char **arguments);
void run_download(int count, char **arguments);
void run_heads(int count, char **arguments);

#endif
