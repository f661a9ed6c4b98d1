/*
 * A program of libxenvchan's in dom0, for tests/xen/shared_memory.rs and for `cargo xtask bench shared --guests xen`.
 *
 *   vchan client DOMAIN PATH                      copies standard input there, and what comes to standard output
 *   vchan many DOMAIN PATH COUNT                  fetches / so often, each time by a connection of its own
 *   vchan server DOMAIN PATH LEFT RIGHT FILE      answers one request with a file, through rings of at least so many bytes
 *   vchan load-server DOMAIN PATH BYTES           attends to one client that puts a load on it, through rings of so many bytes
 *   vchan load DOMAIN PATH bulk MEBIBYTES         writes so much there, and says how fast that was
 *   vchan load DOMAIN PATH round-trips COUNT      writes a byte and reads it, so often, and says how long each took
 *
 * A client waits until the path is offered.
 */
#define _GNU_SOURCE
#include "talk.h"
#include <time.h>
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

enum { SINK = 's', ECHO = 'e', LOAD_BYTES = 65536 };

static void read_all(struct libxenvchan *vchan, void *bytes, size_t count) {
    for (size_t held = 0; held < count;) {
        int got = libxenvchan_read(vchan, (char *)bytes + held, count - held);
        if (got <= 0)
            fail("libxenvchan_read");
        held += got;
    }
}

static int load_server(int domain, const char *path, size_t ring_bytes) {
    static char bytes[LOAD_BYTES];
    struct libxenvchan *vchan = libxenvchan_server_init(NULL, domain, path, ring_bytes, ring_bytes);
    if (!vchan)
        fail("libxenvchan_server_init");
    vchan->blocking = 1;
    char verb;
    long long left;
    read_all(vchan, &verb, 1);
    if (verb == SINK) {
        read_all(vchan, &left, sizeof left);
        for (int got; left > 0; left -= got)
            if ((got = libxenvchan_read(vchan, bytes, sizeof bytes)) <= 0)
                fail("libxenvchan_read");
        write_all(vchan, bytes, 1);
    }
    for (int got; (got = libxenvchan_read(vchan, bytes, sizeof bytes)) > 0;)
        write_all(vchan, bytes, got);
    libxenvchan_close(vchan);
    return 0;
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

static int put_load(int domain, const char *path, int is_bulk, long long count) {
    static char bytes[LOAD_BYTES];
    const char verb = is_bulk ? SINK : ECHO;
    struct libxenvchan *vchan = come(domain, path);
    write_all(vchan, &verb, 1);
    double start = seconds();
    if (is_bulk) {
        long long left = count << 20;
        write_all(vchan, (char *)&left, sizeof left);
        for (; left > 0; left -= sizeof bytes)
            write_all(vchan, bytes, sizeof bytes);
        read_all(vchan, bytes, 1);
        printf("bulk %.1f mib_per_s\n", count / (seconds() - start));
    } else {
        for (long long nth = 0; nth < count; nth++) {
            write_all(vchan, bytes, 1);
            read_all(vchan, bytes, 1);
        }
        printf("round_trip %.3f us\n", (seconds() - start) * 1e6 / count);
    }
    libxenvchan_close(vchan);
    return 0;
}

int main(int count, char **words) {
    if (count == 4 && !strcmp(words[1], "client"))
        return converse(come(atoi(words[2]), words[3]));
    if (count == 5 && !strcmp(words[1], "many"))
        return many(atoi(words[2]), words[3], atoi(words[4]));
    if (count == 7 && !strcmp(words[1], "server"))
        return server(atoi(words[2]), words[3], strtoul(words[4], NULL, 10), strtoul(words[5], NULL, 10), words[6]);
    if (count == 5 && !strcmp(words[1], "load-server"))
        return load_server(atoi(words[2]), words[3], strtoul(words[4], NULL, 10));
    if (count == 6 && !strcmp(words[1], "load"))
        return put_load(atoi(words[2]), words[3], !strcmp(words[4], "bulk"), atoll(words[5]));
    fprintf(stderr, "usage: vchan client|many|server|load-server|load DOMAIN PATH ..., as its source says\n");
    return 2;
}
