/*
 * What a program of libxenvchan's does with a connection, however it came about: for the one in dom0 and the one over memory
 * of a process.
 */
#include <libxenvchan.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static inline void fail(const char *what) {
    perror(what);
    exit(1);
}

static inline void write_all(struct libxenvchan *vchan, const char *bytes, size_t count) {
    if (libxenvchan_write(vchan, bytes, count) != (int)count)
        fail("libxenvchan_write");
}

/* Copies standard input there, and what comes to standard output; an exit code. */
static inline int converse(struct libxenvchan *vchan) {
    static char bytes[100000];
    size_t count;
    vchan->blocking = 1;
    while ((count = fread(bytes, 1, sizeof bytes, stdin)) > 0)
        write_all(vchan, bytes, count);
    int got;
    while ((got = libxenvchan_read(vchan, bytes, sizeof bytes)) > 0)
        if (fwrite(bytes, 1, got, stdout) != (size_t)got)
            fail("fwrite");
    libxenvchan_close(vchan);
    return fflush(stdout) ? 1 : 0;
}

/* Answers one request with a file. What was written is in the ring then: the other side has it still to read. */
static inline void answer(struct libxenvchan *vchan, const char *file) {
    static char bytes[100000];
    size_t held = 0;
    vchan->blocking = 1;
    while (!memmem(bytes, held, "\r\n\r\n", 4)) {
        int got = libxenvchan_read(vchan, bytes + held, sizeof bytes - held);
        if (got <= 0)
            fail("no request");
        held += got;
    }
    FILE *content = fopen(file, "rb");
    struct stat status;
    if (!content || fstat(fileno(content), &status))
        fail(file);
    held = snprintf(bytes, sizeof bytes, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %lld\r\n\r\n",
                    (long long)status.st_size);
    write_all(vchan, bytes, held);
    while ((held = fread(bytes, 1, sizeof bytes, content)) > 0)
        write_all(vchan, bytes, held);
    libxenvchan_close(vchan);
}
