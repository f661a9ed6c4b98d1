/*
 * libxenvchan over memory that processes share: the C library as it is, and in place of Xen what tests/interop/shared_memory.rs
 * needs of it. Grants are pages of a memfd, the event channel is the Unix socket at which two processes meet, and xenstore
 * says what there is.
 *
 *   vchan-peer client PATH                       copies standard input there, and what comes to standard output
 *   vchan-peer server PATH LEFT RIGHT FILE       answers one request with a file, through rings of at least so many bytes
 */
#define _GNU_SOURCE
#include "talk.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <xenstore.h>

#define PAGE 4096
static const char HELLO[8] = "shring\0\1";

/* The socket that is the event channel, and the memory whose pages are grants. */
static int socket_fd = -1;
static int memory_fd = -1;
/* Pages that were granted or mapped so far, in the order in which the library asks: the control page, left, right. */
static size_t pages_used;
/* Something that is not NULL, for handles that nobody looks into. */
static char handle;

static void *map_pages(size_t count, int prot) {
    void *pages = mmap(NULL, count * PAGE, prot, MAP_SHARED, memory_fd, pages_used * PAGE);
    if (pages == MAP_FAILED)
        fail("mmap");
    pages_used += count;
    return pages;
}

/* Grants that are given. */
xengntshr_handle *xengntshr_open(struct xentoollog_logger *logger, unsigned flags) {
    memory_fd = memfd_create("vchan-peer", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return memory_fd < 0 ? NULL : (xengntshr_handle *)&handle;
}

void *xengntshr_share_pages(xengntshr_handle *h, uint32_t domain, int count, uint32_t *refs, int writable) {
    if (ftruncate(memory_fd, (pages_used + count) * PAGE))
        fail("ftruncate");
    for (int page = 0; page < count; page++)
        refs[page] = 100 + pages_used + page;
    return map_pages(count, PROT_READ | PROT_WRITE);
}

void *xengntshr_share_page_notify(xengntshr_handle *h, uint32_t domain, uint32_t *ref, int writable,
                                  uint32_t offset, evtchn_port_t port) {
    return xengntshr_share_pages(h, domain, 1, ref, writable);
}

int xengntshr_unshare(xengntshr_handle *h, void *start, uint32_t count) { return munmap(start, count * PAGE); }
int xengntshr_close(xengntshr_handle *h) { return 0; }

/* Grants that are mapped. */
xengnttab_handle *xengnttab_open(struct xentoollog_logger *logger, unsigned flags) { return (xengnttab_handle *)&handle; }

void *xengnttab_map_grant_ref_notify(xengnttab_handle *h, uint32_t domain, uint32_t ref, int prot, uint32_t offset,
                                     evtchn_port_t port) {
    return map_pages(1, prot);
}

void *xengnttab_map_domain_grant_refs(xengnttab_handle *h, uint32_t count, uint32_t domain, uint32_t *refs, int prot) {
    return map_pages(count, prot);
}

int xengnttab_unmap(xengnttab_handle *h, void *start, uint32_t count) { return munmap(start, count * PAGE); }
int xengnttab_close(xengnttab_handle *h) { return 0; }

/* The event channel. */
xenevtchn_handle *xenevtchn_open(struct xentoollog_logger *logger, unsigned flags) { return (xenevtchn_handle *)&handle; }
xenevtchn_port_or_error_t xenevtchn_bind_unbound_port(xenevtchn_handle *h, uint32_t domain) { return 1; }
xenevtchn_port_or_error_t xenevtchn_bind_interdomain(xenevtchn_handle *h, uint32_t domain, evtchn_port_t port) { return port; }
int xenevtchn_unbind(xenevtchn_handle *h, evtchn_port_t port) { return 0; }
int xenevtchn_unmask(xenevtchn_handle *h, evtchn_port_t port) { return 0; }
int xenevtchn_fd(xenevtchn_handle *h) { return socket_fd; }
int xenevtchn_close(xenevtchn_handle *h) { return close(socket_fd); }

int xenevtchn_notify(xenevtchn_handle *h, evtchn_port_t port) {
    /* A full socket has notifications that nobody has looked at; a closed one has nobody. */
    send(socket_fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    return 0;
}

xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle *h) {
    char bytes[64];
    return recv(socket_fd, bytes, sizeof bytes, 0) > 0 ? 1 : -1;
}

/* xenstore. */
struct xs_handle *xs_open(unsigned long flags) { return (struct xs_handle *)&handle; }
void xs_close(struct xs_handle *h) {}
void *xs_read(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *length) { return strdup("1"); }
bool xs_write(struct xs_handle *h, xs_transaction_t t, const char *path, const void *data, unsigned int length) { return true; }
bool xs_rm(struct xs_handle *h, xs_transaction_t t, const char *path) { return true; }
bool xs_set_permissions(struct xs_handle *h, xs_transaction_t t, const char *path, struct xs_permissions *permissions,
                        unsigned int count) { return true; }
xs_transaction_t xs_transaction_start(struct xs_handle *h) { return 1; }
bool xs_transaction_end(struct xs_handle *h, xs_transaction_t t, bool abort) { return true; }

/* The meeting. */
static struct sockaddr_un address_of(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    return address;
}

union ancillary {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
};

static void take_memory(void) {
    char said[sizeof HELLO];
    union ancillary space;
    struct iovec part = {said, sizeof said};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = space.bytes, .msg_controllen = sizeof space.bytes};
    if (recvmsg(socket_fd, &message, MSG_WAITALL) != sizeof said || memcmp(said, HELLO, sizeof said))
        fail("recvmsg");
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (!header || header->cmsg_type != SCM_RIGHTS)
        fail("no memory");
    memcpy(&memory_fd, CMSG_DATA(header), sizeof memory_fd);
}

static void pass_memory(void) {
    union ancillary space;
    memset(&space, 0, sizeof space);
    struct iovec part = {(void *)HELLO, sizeof HELLO};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = space.bytes, .msg_controllen = sizeof space.bytes};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof memory_fd);
    memcpy(CMSG_DATA(header), &memory_fd, sizeof memory_fd);
    if (fcntl(memory_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) || sendmsg(socket_fd, &message, 0) < 0)
        fail("passing the memory");
}

static int client(const char *path) {
    struct sockaddr_un address = address_of(path);
    socket_fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(socket_fd, (struct sockaddr *)&address, sizeof address))
        fail("connect");
    take_memory();
    struct libxenvchan *vchan = libxenvchan_client_init(NULL, 0, "data/vchan/test");
    if (!vchan)
        fail("libxenvchan_client_init");
    return converse(vchan);
}

static int server(const char *path, size_t left, size_t right, const char *file) {
    char new_path[200];
    snprintf(new_path, sizeof new_path, "%s.new", path);
    struct sockaddr_un address = address_of(new_path);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    /* Where there is the path, somebody listens. */
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1) || rename(new_path, path))
        fail("listen");
    socket_fd = accept(listener, NULL, NULL);
    struct libxenvchan *vchan = libxenvchan_server_init(NULL, 1, "data/vchan/test", left, right);
    if (!vchan)
        fail("libxenvchan_server_init");
    pass_memory();
    answer(vchan, file);
    return unlink(path);
}

int main(int count, char **words) {
    if (count == 3 && !strcmp(words[1], "client"))
        return client(words[2]);
    if (count == 6 && !strcmp(words[1], "server"))
        return server(words[2], strtoul(words[3], NULL, 10), strtoul(words[4], NULL, 10), words[5]);
    fprintf(stderr, "usage: vchan-peer client PATH, or server PATH LEFT RIGHT FILE\n");
    return 2;
}
