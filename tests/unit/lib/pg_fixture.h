/* A private PostgreSQL for tests: made once per test program in a folder of its own, without fsync,
 * on a unix socket, as an unprivileged user; ended and removed when the program exits. Every
 * function fails the test when PostgreSQL's programs do. Thread: main.
 */
#ifndef CARDEA_TESTS_PG_FIXTURE_H
#define CARDEA_TESTS_PG_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>

/* The server, started on first use. */
void pg_fixture_start(void);
/* A new empty database; its connection string is good until the next call for the same slot
 * (0 to 7). */
const char *pg_fixture_database(unsigned slot);
/* What psql prints for the statements, without headers, `|` between columns, without the last line
 * feed. Free it. */
char *pg_fixture_sql(const char *conninfo, const char *sql);
/* SIGKILL to the postmaster, as a crash. */
void pg_fixture_crash(void);
/* Starts it again, with what is on disk. Returns once it answers. */
void pg_fixture_restart(void);
/* SIGSTOP (or SIGCONT) to every process of the server: it hangs. */
void pg_fixture_hang(bool hang);
/* A text of the data folder's files that holds needle: whether there is one. Takes a checkpoint
 * first. */
bool pg_fixture_disk_has(const char *conninfo, const char *needle);

#endif
