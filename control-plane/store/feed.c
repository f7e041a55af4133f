/* Follows the change feed.
 *
 * Happy path: session up -> LISTEN -> a look (one transaction, one round trip: epoch, revision,
 * floor, and the changes after the last revision seen) -> load when this side knows nothing of that
 * epoch or is below the floor -> looks, whenever a notification or the poll timer says so.
 *
 *   look: few changes ──> given at once ──> commit
 *         many changes ─> cursors over changes ──┐
 *         load ─────────> reset, cursors over all ┴─> batches of rows ──> commit
 *
 * Failure paths:
 * - session lost: LISTEN and look again; a load begins anew, with another reset
 * - lost notification: the poll timer looks
 * - the floor rises between a look and the reading of its many changes: all is loaded
 * - no answer in time: the session is dropped
 * - a secret that does not open: that entity is left out, and logged
 * - a key that is missing: nothing after that revision is given, so that no data plane is told that
 *   what it has not got is all there is; tried again, and logged each time
 */
#include "control-plane/store/feed.h"

#include <stdlib.h>

#include "common/core/clock.h"
#include "common/core/log.h"
#include "control-plane/store/pg.h"
#include "control-plane/store/rows.h"

enum {
	/* Rows per round trip: unsealing so many takes a few milliseconds. */
	FETCH_ROWS = 200,
	/* A load may wait for the disk. */
	LOAD_FACTOR = 10,
	EPOCH_MAX = 128,
	/* Of each look: the transaction's begin, and where the cluster is. */
	LOOK_HEAD = 2,
};

struct gathered {
	const struct sql *sql;
	uint64_t revision;
	size_t at; /* keeps the order of equal revisions */
	char id[40];
	json_t *row; /* NULL: removed */
	uint64_t refused;
};

struct feed {
	struct loop *loop;
	char *conninfo;
	const struct keyring *keyring;
	const struct sql *sql;
	size_t sql_count;
	uint64_t timeout_ms, poll_ms;
	struct feed_events events;
	struct pg *pg; /* NULL: not released */
	struct timer poll;
	struct timer limit; /* of the running batch */
	struct pg_batch batch;
	/* What this side holds. */
	bool loaded;
	char epoch[EPOCH_MAX];
	uint64_t revision, floor;
	/* What the running look or load found. */
	char found_epoch[EPOCH_MAX];
	uint64_t found_revision, found_floor;
	uint64_t asked_ns; /* when it began */
	uint64_t seen_ns;  /* when the last that was given began */
	struct gathered *gathered;
	size_t gathered_count, gathered_cap;
	bool overflow; /* a look found more changes than it gives */
	struct err err;
	/* The load or the many changes under way. */
	bool loading;
	bool load_all;	      /* all that is there; else changes after revision */
	size_t load_kind;     /* index in sql */
	size_t load_got;      /* rows of the last FETCH */
	bool load_opened;     /* its transaction has begun */
	bool load_where;      /* the running batch begins it */
	size_t load_declared; /* load_kind + 1 of the open cursor; 0: none */
	bool again;	      /* something may have changed since the last look */
	bool closing;
	unsigned closing_left;
	void (*closed)(void *arg);
	void *closed_arg;
};

/* --- gathering rows --- */

static void gathered_clear(struct feed *f)
{
	for (size_t i = 0; i < f->gathered_count; i++)
		json_decref(f->gathered[i].row);
	f->gathered_count = 0;
}

static struct gathered *gathered_add(struct feed *f)
{
	struct gathered *g;

	if (f->gathered_count == f->gathered_cap) {
		size_t cap = f->gathered_cap ? f->gathered_cap * 2 : 256;
		struct gathered *bigger = realloc(f->gathered, cap * sizeof(*bigger));

		if (!bigger)
			return NULL;
		f->gathered = bigger;
		f->gathered_cap = cap;
	}
	g = &f->gathered[f->gathered_count];
	*g = (struct gathered){.at = f->gathered_count};
	f->gathered_count++;
	return g;
}

static void gather_row(struct feed *f, const struct sql *s, const struct pg_result *r, size_t row)
{
	size_t tail = s->read_count + 1;
	bool removed = pg_result_text(r, row, tail + 2).ptr[0] == 't';
	struct gathered *g = gathered_add(f);
	enum rows_secrets secrets = ROWS_OPEN;

	if (!g) {
		err_memory(&f->err, "change feed");
		return;
	}
	g->sql = s;
	snprintf(g->id, sizeof(g->id), "%s", pg_result_text(r, row, tail + 1).ptr);
	if (str_u64(pg_result_text(r, row, tail), &g->revision) < 0)
		err_set(&f->err, ERR_INTERNAL, "a change without a revision");
	if (pg_result_text(r, row, tail + 3).ptr &&
	    str_u64(pg_result_text(r, row, tail + 3), &g->refused) < 0)
		err_set(&f->err, ERR_INTERNAL, "a refusal without a revision");
	if (removed || g->refused)
		return;
	g->row = rows_decode(s, f->keyring, r, row, &secrets, &f->err);
	if (g->row && secrets == ROWS_OPEN)
		return;
	if (secrets == ROWS_NO_KEY)
		err_set(&f->err, ERR_NOT_FOUND,
			"a secret of %s is sealed under a key that is not in keyring_file: add "
			"that key and start again",
			s->entity->name);
	json_decref(g->row);
	f->gathered_count--;
}

static void gather(struct feed *f, const struct sql *s, const struct pg_result *r)
{
	size_t n = pg_result_rows(r);

	for (size_t i = 0; i < n && f->err.kind == ERR_NONE; i++)
		gather_row(f, s, r, i);
}

static void take_where(struct feed *f, const struct pg_result *r)
{
	if (pg_result_rows(r) != 1 || str_u64(pg_result_text(r, 0, 1), &f->found_revision) < 0 ||
	    str_u64(pg_result_text(r, 0, 2), &f->found_floor) < 0) {
		err_set(&f->err, ERR_INTERNAL, "the cluster table has no row");
		return;
	}
	snprintf(f->found_epoch, sizeof(f->found_epoch), "%s", pg_result_text(r, 0, 0).ptr);
}

static int by_revision(const void *a, const void *b)
{
	const struct gathered *x = a;
	const struct gathered *y = b;

	if (x->revision != y->revision)
		return x->revision < y->revision ? -1 : 1;
	return x->at < y->at ? -1 : 1;
}

/* Gives out what was gathered. */
static void give(struct feed *f)
{
	if (f->gathered_count)
		qsort(f->gathered, f->gathered_count, sizeof(*f->gathered), by_revision);
	for (size_t i = 0; i < f->gathered_count && !f->closing; i++) {
		const struct gathered *g = &f->gathered[i];
		struct feed_change c = {g->sql->entity, g->id, g->revision, g->row, g->refused};

		f->events.on_change(&c, f->events.arg);
	}
	gathered_clear(f);
}

static void commit(struct feed *f)
{
	bool moved = !f->loaded || f->found_revision != f->revision || f->found_floor != f->floor;

	if (f->closing)
		return;
	f->loaded = true;
	f->seen_ns = f->asked_ns;
	f->revision = f->found_revision;
	f->floor = f->found_floor;
	if (moved)
		f->events.on_commit(f->revision, f->floor, f->events.arg);
}

/* --- batches --- */

static const char begin_sql[] = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
static const char where_sql[] = "SELECT cardea_epoch(), revision, floor FROM cluster";

static int add(struct feed *f, const char *sql, const char *const *params, size_t n)
{
	return pg_batch_add(&f->batch, sql, params, n, &f->err);
}

static void run(struct feed *f,
		void (*on_result)(struct pg_batch *, size_t, const struct pg_result *),
		void (*on_end)(struct pg_batch *, const struct pg_failure *), uint64_t limit_ms)
{
	if (f->err.kind != ERR_NONE) {
		pg_batch_deinit(&f->batch);
		pg_drop(f->pg, f->err.message);
		return;
	}
	f->batch.on_result = on_result;
	f->batch.on_end = on_end;
	timer_start(&f->limit, limit_ms, 0);
	pg_run(f->pg, &f->batch);
}

static void batch_begin(struct feed *f)
{
	pg_batch_init(&f->batch);
	gathered_clear(f);
	err_clear(&f->err);
}

/* Whether the batch that ended can be used. Else its session is of no use either. */
static bool batch_ended(struct feed *f, const struct pg_failure *why)
{
	pg_batch_deinit(&f->batch);
	timer_stop(&f->limit);
	if (f->closing)
		return false;
	if (!why && f->err.kind == ERR_NONE)
		return true;
	log_warn("reading the change feed failed", log_err(why ? &why->err : &f->err));
	gathered_clear(f);
	pg_drop(f->pg, "the change feed begins again");
	return false;
}

/* --- a look --- */

static void on_look_result(struct pg_batch *b, size_t i, const struct pg_result *r)
{
	struct feed *f = container_of(b, struct feed, batch);

	if (i == LOOK_HEAD - 1)
		take_where(f, r);
	if (i < LOOK_HEAD || i - LOOK_HEAD >= f->sql_count)
		return;
	if (pg_result_rows(r) > FETCH_ROWS)
		f->overflow = true;
	else if (!f->overflow)
		gather(f, &f->sql[i - LOOK_HEAD], r);
}

static void load_begin(struct feed *f, bool all)
{
	gathered_clear(f);
	f->loading = true;
	f->load_all = all;
	f->load_kind = 0;
	f->load_opened = false;
	f->load_declared = 0;
	if (!all)
		return;
	f->loaded = false;
	snprintf(f->epoch, sizeof(f->epoch), "%s", f->found_epoch);
}

static void on_look_end(struct pg_batch *b, const struct pg_failure *why)
{
	struct feed *f = container_of(b, struct feed, batch);
	bool known;

	if (!batch_ended(f, why))
		return;
	/* A revision that went back without another epoch: a table restored by hand. */
	known = f->loaded && strcmp(f->epoch, f->found_epoch) == 0 &&
		f->revision >= f->found_floor && f->revision <= f->found_revision;
	if (!known || f->overflow) {
		load_begin(f, !known);
		return;
	}
	give(f);
	commit(f);
}

static void look(struct feed *f)
{
	char last[24], limit[24];
	const char *params[] = {last, limit};
	int rc;

	f->again = false;
	f->overflow = false;
	f->asked_ns = clock_mono_ns();
	batch_begin(f);
	/* Before the first load nothing of the changes is wanted but where the cluster is. */
	snprintf(last, sizeof(last), "%llu",
		 f->loaded ? (unsigned long long)f->revision : (unsigned long long)INT64_MAX);
	snprintf(limit, sizeof(limit), "%d", FETCH_ROWS + 1);
	rc = add(f, begin_sql, NULL, 0) < 0 || add(f, where_sql, NULL, 0) < 0;
	for (size_t i = 0; rc == 0 && i < f->sql_count; i++)
		rc = add(f, f->sql[i].changed.data, params, 2);
	if (rc == 0)
		(void)!add(f, "COMMIT", NULL, 0);
	run(f, on_look_result, on_look_end, f->timeout_ms);
}

/* --- a load --- */

/* Removals that the look still saw may have been compacted away before its changes are read. */
static void check_floor(struct feed *f)
{
	if (!f->load_all && f->err.kind == ERR_NONE && f->found_floor > f->revision)
		err_set(&f->err, ERR_CONFLICT,
			"the floor rose to %llu above revision %llu before all changes were read",
			(unsigned long long)f->found_floor, (unsigned long long)f->revision);
}

/* Which statement of a load's batch is the FETCH: always the last. */
static void on_load_result(struct pg_batch *b, size_t i, const struct pg_result *r)
{
	struct feed *f = container_of(b, struct feed, batch);

	if (i == LOOK_HEAD - 1 && f->load_where) {
		take_where(f, r);
		check_floor(f);
	}
	if (i + 1 < b->count)
		return;
	f->load_got = pg_result_rows(r);
	gather(f, &f->sql[f->load_kind], r);
}

static void on_load_end(struct pg_batch *b, const struct pg_failure *why)
{
	struct feed *f = container_of(b, struct feed, batch);

	if (!batch_ended(f, why))
		return;
	give(f);
	if (f->load_got < FETCH_ROWS)
		f->load_kind++;
}

static void on_load_committed(struct pg_batch *b, const struct pg_failure *why)
{
	struct feed *f = container_of(b, struct feed, batch);

	if (!batch_ended(f, why))
		return;
	f->loading = false;
	commit(f);
}

/* The plans must walk changes by revision and not gather and sort whole tables first. */
static void load_open(struct feed *f)
{
	static const char *const settings[] = {
		"SET LOCAL enable_sort = off",
		"SET LOCAL enable_hashjoin = off",
		"SET LOCAL enable_mergejoin = off",
	};

	(void)(add(f, begin_sql, NULL, 0) || add(f, where_sql, NULL, 0));
	for (size_t i = 0; i < array_len(settings); i++)
		(void)add(f, settings[i], NULL, 0);
}

static void load_declare(struct feed *f)
{
	const struct sql *s = &f->sql[f->load_kind];
	char last[24];
	struct buf text = BUF_INIT;
	const char *from = s->cursor_changed.data;
	const char *mark = strstr(from, "$1::bigint");

	snprintf(last, sizeof(last), "%llu", (unsigned long long)f->revision);
	if (f->load_all)
		(void)add(f, s->cursor.data, NULL, 0);
	/* DECLARE takes no parameters. */
	else if (buf_addf(&text, &f->err, "%.*s%s%s", (int)(mark - from), from, last,
			  mark + strlen("$1::bigint")) == 0)
		(void)add(f, text.data, NULL, 0);
	buf_deinit(&text);
}

static void load_step(struct feed *f)
{
	char fetch[32];

	batch_begin(f);
	if (f->load_kind == f->sql_count) {
		(void)add(f, "COMMIT", NULL, 0);
		run(f, NULL, on_load_committed, f->timeout_ms);
		return;
	}
	f->load_where = !f->load_opened;
	if (!f->load_opened) {
		f->asked_ns = clock_mono_ns();
		load_open(f);
	}
	if (f->load_declared != f->load_kind + 1) {
		if (f->load_declared)
			(void)add(f, "CLOSE c", NULL, 0);
		load_declare(f);
		f->load_declared = f->load_kind + 1;
	}
	f->load_opened = true;
	snprintf(fetch, sizeof(fetch), "FETCH %d FROM c", FETCH_ROWS);
	(void)add(f, fetch, NULL, 0);
	run(f, on_load_result, on_load_end, f->timeout_ms * LOAD_FACTOR);
}

/* --- the session's events --- */

static void on_listening(struct pg_batch *b, const struct pg_failure *why)
{
	struct feed *f = container_of(b, struct feed, batch);

	(void)batch_ended(f, why);
}

static void on_up(struct pg *pg, void *arg)
{
	struct feed *f = arg;

	(void)pg;
	f->loading = false;
	f->again = true;
	batch_begin(f);
	(void)(add(f, "LISTEN cardea_revision", NULL, 0) || add(f, "LISTEN cardea_nodes", NULL, 0));
	run(f, NULL, on_listening, f->timeout_ms);
}

static void on_idle(struct pg *pg, void *arg)
{
	struct feed *f = arg;

	(void)pg;
	if (!f->closing && f->loading && f->load_all && !f->load_opened)
		f->events.on_reset(f->epoch, f->events.arg);
	if (f->closing)
		return;
	if (f->loading)
		load_step(f);
	else if (f->again)
		look(f);
}

static void on_down(struct pg *pg, const struct err *why, void *arg)
{
	(void)pg;
	(void)arg;
	log_debug("the change feed has no session", log_err(why));
}

static void on_notify(struct pg *pg, const char *channel, const char *payload, void *arg)
{
	struct feed *f = arg;
	uint64_t revision;

	if (strcmp(channel, "cardea_nodes") == 0) {
		f->events.on_nodes(payload, f->events.arg);
		return;
	}
	if (str_u64(str_from(payload), &revision) == 0 && f->loaded && revision <= f->revision)
		return;
	f->again = true;
	if (pg_idle(pg))
		on_idle(pg, f);
}

static void on_poll(struct timer *t)
{
	struct feed *f = container_of(t, struct feed, poll);

	f->again = true;
	if (pg_idle(f->pg))
		on_idle(f->pg, f);
}

static void on_limit(struct timer *t)
{
	struct feed *f = container_of(t, struct feed, limit);

	pg_drop(f->pg, "no answer in time");
}

/* --- life --- */

int feed_create(struct feed **out, struct loop *l, const struct feed_conf *c,
		const struct feed_events *ev, struct err *e)
{
	struct feed *f = calloc(1, sizeof(*f));
	char *conninfo = strdup(c->conninfo);

	if (!f || !conninfo) {
		free(f);
		free(conninfo);
		return err_memory(e, "change feed");
	}
	f->loop = l;
	f->conninfo = conninfo;
	f->keyring = c->keyring;
	f->sql = c->sql;
	f->sql_count = c->sql_count;
	f->timeout_ms = c->timeout_ms;
	f->poll_ms = c->poll_ms;
	f->events = *ev;
	timer_init(&f->poll, l, on_poll);
	timer_init(&f->limit, l, on_limit);
	*out = f;
	return 0;
}

void feed_release(struct feed *f)
{
	struct pg_conf c = {f->conninfo, {0}};
	struct pg_events ev = {on_up, on_down, on_idle, on_notify, f};
	struct err e = ERR_INIT;

	c.limits.statement_ms = (unsigned)(f->timeout_ms * LOAD_FACTOR);
	c.limits.lock_ms = (unsigned)f->timeout_ms;
	c.limits.idle_in_transaction_ms = (unsigned)(f->timeout_ms * LOAD_FACTOR);
	/* The same string was good for the pool: only memory can be short here. */
	if (pg_create(&f->pg, f->loop, &c, &ev, &e) < 0) {
		log_crit("the change feed cannot start", log_err(&e));
		return;
	}
	timer_start(&f->poll, f->poll_ms, f->poll_ms);
}

uint64_t feed_seen_ns(const struct feed *f)
{
	return f->seen_ns;
}

static void on_part_closed(void *arg)
{
	struct feed *f = arg;

	if (--f->closing_left > 0)
		return;
	gathered_clear(f);
	free(f->gathered);
	free(f->conninfo);
	if (f->closed)
		f->closed(f->closed_arg);
	free(f);
}

static void on_poll_closed(struct timer *t)
{
	on_part_closed(container_of(t, struct feed, poll));
}

static void on_limit_closed(struct timer *t)
{
	on_part_closed(container_of(t, struct feed, limit));
}

void feed_close(struct feed *f, void (*closed)(void *arg), void *arg)
{
	f->closing = true;
	f->closed = closed;
	f->closed_arg = arg;
	f->closing_left = f->pg ? 3 : 2;
	timer_close(&f->poll, on_poll_closed);
	timer_close(&f->limit, on_limit_closed);
	if (f->pg)
		pg_close(f->pg, on_part_closed, f);
}
