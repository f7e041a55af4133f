/* A session's insides, shared by pg.c (its life) and pg_pipeline.c (its batches). Private to both.
 */
#ifndef CARDEA_STORE_PG_INTERNAL_H
#define CARDEA_STORE_PG_INTERNAL_H

#include <libpq-fe.h>

#include "common/core/map.h"
#include "control-plane/store/pg.h"

enum pg_state { PG_DOWN, PG_RESOLVING, PG_CONNECTING, PG_IDLE, PG_BUSY, PG_CLOSED, PG_STATES };

struct pg_result {
	PGresult *r;
};

/* A statement that this session has planned, or is about to. */
struct prepared {
	char name[24];
	bool known; /* the server said so */
};

/* What the pipeline answers next: a plan (prepared set) or a statement's result. */
struct expected {
	size_t statement;
	struct prepared *prepared;
};

/* uv_poll_t must outlive its close, and libpq may change sockets while it connects. */
struct poll {
	uv_poll_t uv;
	struct pg *pg; /* NULL: let go */
};

/* uv_getaddrinfo_t lives until it calls back, even when nobody waits any more. */
struct resolve {
	uv_getaddrinfo_t uv;
	struct pg *pg; /* NULL: let go */
};

struct pg {
	enum pg_state state;
	struct loop *loop;
	struct pg_target target;
	struct pg_events events;
	struct timer timer; /* down: until the next attempt; connecting: the limit; busy: broken */
	unsigned failures;  /* rounds since a session that lasted */
	uint64_t up_at;	    /* clock_mono_ns of the last session's begin */
	struct poll *poll;
	struct resolve *resolve;
	PGconn *conn;
	struct map prepared; /* SQL text -> struct prepared */
	uint64_t prepared_made;
	struct pg_batch *batch;
	size_t sent; /* statements of it */
	bool synced; /* all of them, and the sync */
	struct expected *expected;
	size_t expected_count, expected_cap, expected_at;
	struct pg_failure failure;
	bool failed; /* failure is set */
	bool fatal;  /* failure says that the session is of no use */
	void (*closed)(void *arg);
	void *closed_arg;
};

/* --- of pg.c --- */

/* The only writer of the state. */
void pg_move(struct pg *pg, enum pg_state to);
/* The session or the attempt is over. */
void pg_down(struct pg *pg, const struct err *why);
/* As pg_down, with the first line of libpq's message. */
void pg_down_libpq(struct pg *pg, const char *doing);
/* Has the socket watched for these UV_ events. */
void pg_watch(struct pg *pg, int events);

/* --- of pg_pipeline.c --- */

/* Reads what has come, and ends the batch when it is whole. */
void pg_take_results(struct pg *pg);
/* Writes what libpq still holds, and what of the batch it has not got yet. */
void pg_flush(struct pg *pg);
/* Takes the batch off the session and tells its owner. */
void pg_end_batch(struct pg *pg, const struct pg_failure *f);
/* Forgets all plans: they end with the session. */
void pg_forget_plans(struct pg *pg);

#endif
