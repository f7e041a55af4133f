/* Brings the schema to this binary's version.
 *
 * Happy path: session up -> lock and list what is applied -> one script per missing migration ->
 * done. The lock is the session's: it ends with it.
 * Failure paths:
 * - session lost at any step, or the server cannot do it now (disk full): pg makes a new session,
 *   and all begins again with the lock
 * - schema newer than this binary, a migration refused by the server: done with the error
 */
#include "control-plane/store/migrate.h"

#include <stdlib.h>

#include "common/core/log.h"
#include "control-plane/store/pg.h"

/* "cardea" on a telephone's keys: one lock per database. */
#define LOCK_SQL "SELECT pg_advisory_lock(227332)"

static const struct migration {
	int64_t number;
	const char *name;
	const char *text;
} migrations[] = {
#include "migrations.inc"
};

struct migrate {
	struct pg *pg;
	struct pg_batch batch;
	int64_t applied; /* the highest number found */
	size_t next;	 /* index of the migration that runs or runs next */
	void (*done)(const struct err *e, void *arg);
	void (*closed)(void *arg);
	void *arg, *closed_arg;
};

static void finish(struct migrate *m, const struct err *e)
{
	void (*done)(const struct err *, void *) = m->done;

	m->done = NULL;
	if (done)
		done(e, m->arg);
}

/* --- one migration after the other --- */

static void apply_next(struct migrate *m);

static void on_applied(struct pg_batch *b, const struct pg_failure *f)
{
	struct migrate *m = container_of(b, struct migrate, batch);
	const struct migration *x = &migrations[m->next];
	struct err e;

	pg_batch_deinit(b);
	if (!f) {
		log_notice("migration applied", log_i64("number", x->number),
			   log_str("name", x->name));
		m->next++;
		return;
	}
	if (f->kind != PG_REFUSED || err_is_temporary(&f->err)) {
		pg_drop(m->pg, f->err.message);
		return;
	}
	e = f->err;
	e.kind = ERR_INTERNAL;
	err_prefix(&e, "migration %lld (%s)", (long long)x->number, x->name);
	finish(m, &e);
}

static int script(struct pg_batch *b, const struct migration *x, struct err *e)
{
	struct buf text = BUF_INIT;
	int rc = buf_addf(&text, e,
			  "%s\n;INSERT INTO schema_migrations (number, name) VALUES (%lld, '%s');",
			  x->text, (long long)x->number, x->name);

	if (rc == 0)
		rc = pg_batch_add(b, text.data, NULL, 0, e);
	buf_deinit(&text);
	b->script = true;
	b->on_end = on_applied;
	return rc;
}

static void apply_next(struct migrate *m)
{
	struct err e = ERR_INIT;

	while (m->next < array_len(migrations) && migrations[m->next].number <= m->applied)
		m->next++;
	if (m->next == array_len(migrations)) {
		finish(m, NULL);
		return;
	}
	pg_batch_init(&m->batch);
	if (script(&m->batch, &migrations[m->next], &e) == 0) {
		pg_run(m->pg, &m->batch);
		return;
	}
	pg_batch_deinit(&m->batch);
	finish(m, &e);
}

/* --- what is there --- */

static void on_listed_row(struct pg_batch *b, size_t i, const struct pg_result *r)
{
	struct migrate *m = container_of(b, struct migrate, batch);
	uint64_t highest;

	if (i + 1 == b->count && pg_result_rows(r) == 1 &&
	    str_u64(pg_result_text(r, 0, 0), &highest) == 0)
		m->applied = (int64_t)highest;
}

static void on_listed(struct pg_batch *b, const struct pg_failure *f)
{
	struct migrate *m = container_of(b, struct migrate, batch);
	int64_t known = migrations[array_len(migrations) - 1].number;
	struct err e = ERR_INIT;

	pg_batch_deinit(b);
	if (f && (f->kind != PG_REFUSED || err_is_temporary(&f->err))) {
		pg_drop(m->pg, f->err.message);
	} else if (f) {
		e = f->err;
		e.kind = ERR_INTERNAL;
		err_prefix(&e, "reading the schema's version");
		finish(m, &e);
	} else if (m->applied > known) {
		err_set(&e, ERR_INVALID,
			"the database schema is at version %lld and this program knows versions up "
			"to %lld: start a newer program",
			(long long)m->applied, (long long)known);
		finish(m, &e);
	}
}

static void list(struct migrate *m)
{
	struct pg_batch *b = &m->batch;
	struct err e = ERR_INIT;

	pg_batch_init(b);
	m->applied = 0;
	m->next = 0;
	if (pg_batch_add(b, LOCK_SQL, NULL, 0, &e) < 0 ||
	    pg_batch_add(b,
			 "CREATE TABLE IF NOT EXISTS schema_migrations (number bigint PRIMARY KEY, "
			 "name text NOT NULL, at timestamptz NOT NULL DEFAULT now())",
			 NULL, 0, &e) < 0 ||
	    pg_batch_add(b, "SELECT coalesce(max(number), 0) FROM schema_migrations", NULL, 0, &e) <
		    0) {
		pg_batch_deinit(b);
		finish(m, &e);
		return;
	}
	b->on_result = on_listed_row;
	b->on_end = on_listed;
	pg_run(m->pg, b);
}

static void on_up(struct pg *pg, void *arg)
{
	(void)pg;
	list(arg);
}

static void on_idle(struct pg *pg, void *arg)
{
	struct migrate *m = arg;

	(void)pg;
	if (m->done)
		apply_next(m);
}

static void on_down(struct pg *pg, const struct err *why, void *arg)
{
	(void)pg;
	(void)arg;
	log_warn("waiting for the database", log_err(why));
}

/* --- life --- */

int migrate_start(struct migrate **out, struct loop *l, const char *conninfo,
		  void (*done)(const struct err *e, void *arg), void *arg, struct err *e)
{
	struct migrate *m = calloc(1, sizeof(*m));
	/* A migration may take long, and so may waiting for another control plane's. */
	struct pg_conf c = {conninfo, {0, 0, 0}};
	struct pg_events ev = {on_up, on_down, on_idle, NULL, m};

	if (!m)
		return err_memory(e, "migrating");
	m->done = done;
	m->arg = arg;
	if (pg_create(&m->pg, l, &c, &ev, e) < 0) {
		free(m);
		return -1;
	}
	*out = m;
	return 0;
}

static void on_pg_closed(void *arg)
{
	struct migrate *m = arg;

	if (m->closed)
		m->closed(m->closed_arg);
	free(m);
}

void migrate_close(struct migrate *m, void (*closed)(void *arg), void *arg)
{
	m->done = NULL;
	m->closed = closed;
	m->closed_arg = arg;
	pg_close(m->pg, on_pg_closed, m);
}
