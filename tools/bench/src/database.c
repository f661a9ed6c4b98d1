/* A client of PostgreSQL by libpq, for `cargo xtask bench database`: CONNECTION LOAD COUNT [WIDTH]. It prints its processor time and the time
   that passed, in seconds. */
#include <arpa/inet.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static PGconn *connection;

static void fail(const char *what)
{
    fprintf(stderr, "%s: %s", what, PQerrorMessage(connection));
    exit(1);
}

static void expect(PGresult *result, ExecStatusType status)
{
    if (PQresultStatus(result) != status)
        fail(PQresStatus(PQresultStatus(result)));
    PQclear(result);
}

/* The row of a number, in binary: that number, and a text. */
static void check(PGresult *result, uint32_t number)
{
    uint32_t value;
    if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1 || PQgetlength(result, 0, 0) != 4)
        fail("no row");
    memcpy(&value, PQgetvalue(result, 0, 0), 4);
    if (ntohl(value) != number)
        fail("the row of another");
    PQclear(result);
}

static const char *const QUERY = "select id, name from goods where id = $1";
static const int lengths[] = {4}, formats[] = {1};

static void lone(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = i % 1000, wire = htonl(number);
        const char *values[] = {(const char *)&wire};
        check(PQexecPrepared(connection, "one", 1, values, lengths, formats, 1), number);
    }
}

/* All that is there is sent and read as the manual has it for pipelines, so that neither side waits for the other's buffers. */
static void flush(void)
{
    int left;
    while ((left = PQflush(connection)) > 0) {
        struct pollfd ready = {PQsocket(connection), POLLIN | POLLOUT, 0};
        poll(&ready, 1, -1);
        if ((ready.revents & POLLIN) && !PQconsumeInput(connection))
            fail("input");
    }
    if (left < 0)
        fail("output");
}

/* So many are under way at once; after all of them, or after each, there is a Sync. */
static void pipelined(uint32_t count, uint32_t width, int sync_each)
{
    if (!PQenterPipelineMode(connection) || PQsetnonblocking(connection, 1))
        fail("no pipeline");
    for (uint32_t first = 0; first < count; first += width) {
        for (uint32_t i = first; i < first + width; i++) {
            uint32_t wire = htonl(i % 1000);
            const char *values[] = {(const char *)&wire};
            if (!PQsendQueryPrepared(connection, "one", 1, values, lengths, formats, 1))
                fail("a query");
            if ((sync_each || i + 1 == first + width) && !PQpipelineSync(connection))
                fail("a sync");
        }
        flush();
        for (uint32_t i = first; i < first + width; i++) {
            check(PQgetResult(connection), i % 1000);
            if (PQgetResult(connection) != NULL)
                fail("a result too many");
            if (sync_each || i + 1 == first + width)
                expect(PQgetResult(connection), PGRES_PIPELINE_SYNC);
        }
    }
}

static void rows(uint32_t count)
{
    char text[80];
    snprintf(text, sizeof text, "select g, repeat('x', 90) from generate_series(1, %u) g", count);
    if (!PQsendQueryParams(connection, text, 0, NULL, NULL, NULL, NULL, 1) || !PQsetSingleRowMode(connection))
        fail("a query");
    uint64_t sum = 0, bytes = 0;
    for (PGresult *row; (row = PQgetResult(connection)) != NULL; PQclear(row)) {
        if (PQresultStatus(row) != PGRES_SINGLE_TUPLE)
            continue;
        uint32_t value;
        memcpy(&value, PQgetvalue(row, 0, 0), 4);
        sum += ntohl(value);
        bytes += PQgetlength(row, 0, 1);
    }
    if (sum != (uint64_t)count * (count + 1) / 2 || bytes != 90ull * count)
        fail("not all rows");
}

static double seconds(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    const char *load = argv[2];
    uint32_t count = strtoul(argv[3], NULL, 10), width = argc > 4 ? strtoul(argv[4], NULL, 10) : 1;
    connection = PQconnectdb(argv[1]);
    if (PQstatus(connection) != CONNECTION_OK)
        fail("no connection");
    expect(PQprepare(connection, "one", QUERY, 0, NULL), PGRES_COMMAND_OK);
    double cpu = seconds(CLOCK_PROCESS_CPUTIME_ID), wall = seconds(CLOCK_MONOTONIC);
    if (strcmp(load, "lone") == 0)
        lone(count);
    else if (strcmp(load, "pipelined") == 0)
        pipelined(count, width, 1);
    else if (strcmp(load, "one-sync") == 0)
        pipelined(count, width, 0);
    else if (strcmp(load, "rows") == 0)
        rows(count);
    else
        return 2;
    printf("%.6f %.6f\n", seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu, seconds(CLOCK_MONOTONIC) - wall);
    return 0;
}
