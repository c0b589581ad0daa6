#define _GNU_SOURCE
#include "load.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

const char *text(int count, char **arguments, const char *name, const char *otherwise)
{
    size_t size = strlen(name);
    for (int i = 0; i < count; i++)
        if (strncmp(arguments[i], name, size) == 0 && arguments[i][size] == '=')
            return arguments[i] + size + 1;
    if (otherwise == NULL)
        die("%s=... is missing", name);
    return otherwise;
}

long long number(int count, char **arguments, const char *name, long long otherwise)
{
    const char *given = text(count, arguments, name, otherwise < 0 ? NULL : "");
    if (*given == '\0')
        return otherwise;
    char *end;
    long long value = strtoll(given, &end, 10);
    if (*end != '\0' || value < 0)
        die("%s=%s is not a number", name, given);
    return value;
}

static int by_size(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

void sort(double *numbers, long long count) { qsort(numbers, (size_t)count, sizeof *numbers, by_size); }

int pattern_file(long long bytes, const uint8_t **mapped)
{
    int fd = memfd_create("pattern", 0);
    if (fd < 0 || ftruncate(fd, bytes) != 0)
        die("no memory file of %lld bytes", bytes);
    uint64_t *words = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (words == MAP_FAILED)
        die("cannot map %lld bytes", bytes);
    for (long long i = 0; i < bytes / 8; i++) {
        /* splitmix64: nothing a file system or a wire could compress */
        uint64_t z = ((uint64_t)i + 1) * 0x9e3779b97f4a7c15ULL;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
        words[i] = z ^ (z >> 31);
    }
    *mapped = (const uint8_t *)words;
    return fd;
}
