/*
 * A program of libxenvchan's in dom0, for tests/xen/shared_memory.rs.
 *
 *   vchan client DOMAIN PATH                      copies standard input there, and what comes to standard output
 *   vchan many DOMAIN PATH COUNT                  fetches / so often, each time by a connection of its own
 *   vchan server DOMAIN PATH LEFT RIGHT FILE      answers one request with a file, through rings of at least so many bytes
 *
 * A client waits until the path is offered.
 */
#define _GNU_SOURCE
#include "talk.h"
#include <unistd.h>

enum { TRIES = 60000, PAUSE_MICROSECONDS = 10000 };

static struct libxenvchan *come(int domain, const char *path) {
    for (int tries = 0; tries < TRIES; tries++) {
        struct libxenvchan *vchan = libxenvchan_client_init(NULL, domain, path);
        if (vchan) {
            vchan->blocking = 1;
            return vchan;
        }
        usleep(PAUSE_MICROSECONDS);
    }
    fail("libxenvchan_client_init");
    return NULL;
}

static int many(int domain, const char *path, int count) {
    static const char asked[] = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    static const char expected[] = "HTTP/1.1 200";
    static char bytes[1000000];
    for (int nth = 0; nth < count; nth++) {
        struct libxenvchan *vchan = come(domain, path);
        write_all(vchan, asked, sizeof asked - 1);
        size_t held = 0;
        int got;
        while ((got = libxenvchan_read(vchan, bytes + held, sizeof bytes - held)) > 0)
            held += got;
        if (held < sizeof expected || memcmp(bytes, expected, sizeof expected - 1))
            fail("no answer");
        libxenvchan_close(vchan);
    }
    printf("%d\n", count);
    return 0;
}

static int server(int domain, const char *path, size_t left, size_t right, const char *file) {
    struct libxenvchan *vchan = libxenvchan_server_init(NULL, domain, path, left, right);
    if (!vchan)
        fail("libxenvchan_server_init");
    answer(vchan, file);
    return 0;
}

int main(int count, char **words) {
    if (count == 4 && !strcmp(words[1], "client"))
        return converse(come(atoi(words[2]), words[3]));
    if (count == 5 && !strcmp(words[1], "many"))
        return many(atoi(words[2]), words[3], atoi(words[4]));
    if (count == 7 && !strcmp(words[1], "server"))
        return server(atoi(words[2]), words[3], strtoul(words[4], NULL, 10), strtoul(words[5], NULL, 10), words[6]);
    fprintf(stderr, "usage: vchan client DOMAIN PATH, many DOMAIN PATH COUNT or server DOMAIN PATH LEFT RIGHT FILE\n");
    return 2;
}
