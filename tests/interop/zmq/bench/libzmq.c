/* The benchmark's other side: libzmq, with its default settings.
 *
 *   cc -O2 -o zmq-libzmq libzmq.c -lzmq
 *   zmq-libzmq echo PORT | drain PORT COUNT | ask PORT COUNT BYTES | flood PORT COUNT BYTES
 *
 * echo and drain bind (REP, PULL); ask and flood connect (REQ, PUSH). ask and drain print the
 * seconds between their first and their last message. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

static double now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec + at.tv_nsec / 1e9;
}

static void must(int ok)
{
    if (!ok) {
        perror("zmq");
        exit(1);
    }
}

static void receive(void *socket, size_t bytes)
{
    zmq_msg_t message;
    zmq_msg_init(&message);
    must(zmq_msg_recv(&message, socket, 0) >= 0);
    must(bytes == 0 || zmq_msg_size(&message) == bytes);
    zmq_msg_close(&message);
}

static void transmit(void *socket, size_t bytes)
{
    zmq_msg_t message;
    zmq_msg_init_size(&message, bytes);
    memset(zmq_msg_data(&message), 0x5A, bytes);
    must(zmq_msg_send(&message, socket, 0) >= 0);
}

int main(int argc, char **argv)
{
    const char *verb = argv[1];
    int binds = !strcmp(verb, "echo") || !strcmp(verb, "drain");
    int kind = !strcmp(verb, "echo") ? ZMQ_REP : !strcmp(verb, "drain") ? ZMQ_PULL
             : !strcmp(verb, "ask") ? ZMQ_REQ : ZMQ_PUSH;
    long count = argc > 3 ? atol(argv[3]) : 0;
    size_t bytes = argc > 4 ? (size_t) atol(argv[4]) : 0;
    char address[64];
    snprintf(address, sizeof address, "tcp://127.0.0.1:%s", argv[2]);
    void *context = zmq_ctx_new();
    void *socket = zmq_socket(context, kind);
    must((binds ? zmq_bind(socket, address) : zmq_connect(socket, address)) == 0);
    puts("ready");
    fflush(stdout);
    double started = 0;
    if (kind == ZMQ_REP)
        for (;;) {
            zmq_msg_t message;
            zmq_msg_init(&message);
            must(zmq_msg_recv(&message, socket, 0) >= 0);
            must(zmq_msg_send(&message, socket, 0) >= 0);
        }
    for (long number = 0; number < count; number++) {
        if (kind != ZMQ_PULL)
            transmit(socket, bytes);
        if (kind != ZMQ_PUSH)
            receive(socket, bytes);
        if (number == 0)
            started = now();
    }
    printf("%.6f\n", now() - started);
    fflush(stdout);
    zmq_close(socket);
    zmq_ctx_term(context);
}
