/* One PostgreSQL session on the loop: connects and reconnects by itself, runs one batch of
 * statements at a time in one pipeline, hands on notifications. The only user of libpq (with
 * pg_target). Private to control-plane/store/.
 *
 *            ┌────────────── timer ───────────────┐
 *            v                                    │
 *   down ─> resolving ─> connecting ─> idle <─> busy
 *     ^         │            │          │         │
 *     └─────────┴────────────┴──────────┴─────────┘    any ─> closed
 *
 * A batch is one implicit transaction: the server commits it at the pipeline's end or, when a
 * statement fails, takes all of it back. owner: pool, migrate or feed; thread: the loop.
 */
#ifndef CARDEA_STORE_PG_H
#define CARDEA_STORE_PG_H

#include <stdbool.h>
#include <stdint.h>

#include "common/core/arena.h"
#include "common/core/err.h"
#include "common/core/list.h"
#include "common/core/str.h"
#include "common/net/loop.h"
#include "control-plane/store/pg_target.h"

struct pg;
struct pg_result;

enum pg_failure_kind {
	PG_REFUSED, /* the server answered with an error; nothing of the batch remains */
	PG_LOST,    /* the session ended before the answer: whether it was committed is unknown */
	PG_UNSENT,  /* never reached a session */
};

struct pg_failure {
	enum pg_failure_kind kind;
	size_t statement;    /* REFUSED: index of the one that failed */
	char state[6];	     /* REFUSED: SQLSTATE */
	char constraint[64]; /* REFUSED: its name, or empty */
	char table[64];	     /* REFUSED: that the constraint is on, or empty */
	struct err err;
};

struct pg_statement {
	const char *sql; /* all in the batch's arena */
	const char **params;
	size_t n;
	size_t bytes; /* of all its text */
};

/* Pattern B: the work, its memory and its answer. */
struct pg_batch {
	struct link link;   /* owner's: the pool's lists; pg takes it off before on_end */
	struct arena arena; /* owner's too: what lives as long as the batch */
	struct pg_statement *statements;
	size_t count, cap;
	/* One text of several statements, without parameters, as one implicit transaction. */
	bool script;
	/* Statement i succeeded; r is valid until it returns. Not yet committed. May be NULL. */
	void (*on_result)(struct pg_batch *b, size_t i, const struct pg_result *r);
	/* The end, once: committed when f is NULL. The batch is the owner's again. */
	void (*on_end)(struct pg_batch *b, const struct pg_failure *f);
	uint64_t deadline;  /* pool's: clock_mono_ns */
	struct pg *runs_on; /* pool's */
};

/* Empty. deinit frees its arena and statements: not while it runs. */
void pg_batch_init(struct pg_batch *b);
void pg_batch_deinit(struct pg_batch *b);
/* Copies sql and parameters (text; NULL is SQL null). */
int pg_batch_add(struct pg_batch *b, const char *sql, const char *const *params, size_t n,
		 struct err *e) must_check;

/* As pg_batch_add, but the parameters are not copied: they must live until b is deinited. */
int pg_batch_add_kept(struct pg_batch *b, const char *sql, const char *const *params, size_t n,
		      struct err *e) must_check;

struct pg_conf {
	const char *conninfo;
	struct pg_limits limits;
};

struct pg_events {
	/* A session is up and idle. */
	void (*on_up)(struct pg *pg, void *arg);
	/* An attempt failed or the session ended; it tries again by itself. Comes before the end of
	 * the batch that ran. */
	void (*on_down)(struct pg *pg, const struct err *why, void *arg);
	/* The batch is over, after its on_end: the next may run. May be NULL. */
	void (*on_idle)(struct pg *pg, void *arg);
	/* May be NULL. */
	void (*on_notify)(struct pg *pg, const char *channel, const char *payload, void *arg);
	void *arg;
};

/* Begins to connect. */
int pg_create(struct pg **out, struct loop *l, const struct pg_conf *c, const struct pg_events *ev,
	      struct err *e) must_check;
/* Whether there is a session. */
bool pg_up(const struct pg *pg);
/* Whether a batch may be run now. */
bool pg_idle(const struct pg *pg);
/* Runs b, which must live until its on_end. Only when pg_idle. */
void pg_run(struct pg *pg, struct pg_batch *b);
/* Ends the session (it hangs, or is in a state that nobody wants): its batch is lost, a new one is
 * made. Not from inside on_result. */
void pg_drop(struct pg *pg, const char *why);
/* Ends it for good; a running batch is lost. closed may be NULL. Not from inside on_result. */
void pg_close(struct pg *pg, void (*closed)(void *arg), void *arg);

/* Accessors of a result; what they return lives as long as r. Indexes start at 0 and are in range.
 */
size_t pg_result_rows(const struct pg_result *r);
size_t pg_result_columns(const struct pg_result *r);
const char *pg_result_name(const struct pg_result *r, size_t column);
/* The type's oid in pg_type. */
unsigned pg_result_type(const struct pg_result *r, size_t column);
/* STR_NONE: null. NUL-terminated otherwise. */
struct str pg_result_text(const struct pg_result *r, size_t row, size_t column);
/* Rows that the statement changed or returned. */
uint64_t pg_result_affected(const struct pg_result *r);

#endif
