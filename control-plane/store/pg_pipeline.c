/* A session's batches: statements out in one pipeline, results in.
 *
 * Happy path: each statement not yet planned is planned under a name, then run by it; a sync ends
 * the batch; results come in order, then the sync's.
 * Failure paths: see pg.c
 */
#include <stdlib.h>

#include "common/core/log.h"
#include "control-plane/store/pg_internal.h"

enum {
	/* Statements that a session keeps planned; the rest are planned each time. */
	PREPARED_MAX = 256,
	/* Statements with so much text are not worth keeping. */
	PREPARED_TEXT_MAX = 8192,
	/* Given to libpq in one turn of the loop: it copies all of it. */
	SEND_BYTES = 512 << 10,
};

void pg_forget_plans(struct pg *pg)
{
	size_t pos = 0;
	struct str sql;
	void *value;

	while (map_next(&pg->prepared, &pos, &sql, &value))
		free(value);
	map_deinit(&pg->prepared);
	map_init(&pg->prepared);
}

void pg_end_batch(struct pg *pg, const struct pg_failure *f)
{
	struct pg_batch *b = pg->batch;

	pg->batch = NULL;
	pg->expected_count = 0;
	list_remove(&b->link);
	b->on_end(b, f);
}

/* --- results --- */

static void copy_field(char *out, size_t size, const PGresult *r, int code)
{
	const char *text = PQresultErrorField(r, code);

	snprintf(out, size, "%s", text ? text : "");
}

/* Read-only (25006): the primary was demoted. Shutdown, crash, starting up (57P01 to 57P03). A plan
 * that no longer fits the schema (0A000, 26000): a new session has none. */
static bool state_is_fatal(const char *state)
{
	static const char *const fatal[] = {"25006", "57P01", "57P02", "57P03", "0A000", "26000"};

	for (size_t i = 0; i < array_len(fatal); i++)
		if (strcmp(fatal[i], state) == 0)
			return true;
	return false;
}

static enum err_kind kind_of_state(const char *state)
{
	static const struct {
		const char *state;
		enum err_kind kind;
	} kinds[] = {
		{"57014", ERR_TIMEOUT},	 {"55P03", ERR_TIMEOUT},     {"53", ERR_UNAVAILABLE},
		{"58", ERR_UNAVAILABLE}, {"57", ERR_UNAVAILABLE},    {"25006", ERR_UNAVAILABLE},
		{"40", ERR_UNAVAILABLE}, {"0A000", ERR_UNAVAILABLE}, {"26000", ERR_UNAVAILABLE},
		{"23", ERR_CONFLICT},
	};

	for (size_t i = 0; i < array_len(kinds); i++)
		if (strncmp(kinds[i].state, state, strlen(kinds[i].state)) == 0)
			return kinds[i].kind;
	return ERR_INTERNAL;
}

static void note_failure(struct pg *pg, const PGresult *r, size_t statement)
{
	struct pg_failure *f = &pg->failure;
	const char *text = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);

	if (pg->failed)
		return;
	*f = (struct pg_failure){.kind = PG_REFUSED, .statement = statement};
	copy_field(f->state, sizeof(f->state), r, PG_DIAG_SQLSTATE);
	copy_field(f->constraint, sizeof(f->constraint), r, PG_DIAG_CONSTRAINT_NAME);
	copy_field(f->table, sizeof(f->table), r, PG_DIAG_TABLE_NAME);
	err_set(&f->err, kind_of_state(f->state), "database: %s (%s)",
		text ? text : PQresultErrorMessage(r), f->state);
	pg->failed = true;
	pg->fatal = state_is_fatal(f->state);
}

/* A plan that the server did not make (the pipeline failed before) must be made anew. */
static void prepared_forget_unknown(struct pg *pg)
{
	size_t pos = 0;
	struct str sql;
	void *value;

	while (map_next(&pg->prepared, &pos, &sql, &value)) {
		struct prepared *p = value;

		if (p->known)
			continue;
		map_remove(&pg->prepared, sql);
		free(p);
	}
}

static void batch_over(struct pg *pg)
{
	struct pg_failure f = pg->failure;
	bool failed = pg->failed;

	prepared_forget_unknown(pg);
	if (failed && pg->fatal) {
		/* Refused, and so not committed: its owner is told that, not that it is lost. */
		pg_end_batch(pg, &f);
		if (pg->state == PG_BUSY)
			pg_down(pg, &f.err);
		return;
	}
	pg_move(pg, PG_IDLE);
	pg_end_batch(pg, failed ? &f : NULL);
	if (pg->state == PG_IDLE && pg->events.on_idle)
		pg->events.on_idle(pg, pg->events.arg);
}

static void take_result(struct pg *pg, PGresult *r)
{
	struct pg_batch *b = pg->batch;
	struct expected *x =
		pg->expected_at < pg->expected_count ? &pg->expected[pg->expected_at] : NULL;
	struct pg_result result = {r};
	size_t statement = x ? x->statement : b->count;

	switch (PQresultStatus(r)) {
	case PGRES_COMMAND_OK:
	case PGRES_TUPLES_OK:
		if (x && x->prepared)
			x->prepared->known = true;
		else if (b->on_result)
			b->on_result(b, statement, &result);
		break;
	case PGRES_PIPELINE_ABORTED:
		break;
	default:
		note_failure(pg, r, statement);
	}
}

/* Whether an answer can come: libpq has no word for "not yet asked". */
static bool is_asked(const struct pg *pg)
{
	return pg->synced || pg->expected_at < pg->expected_count;
}

/* Reads what has come. Each statement answers with one result and a NULL; the sync with one result.
 * A script has one result per statement in it, and a NULL at its end. */
void pg_take_results(struct pg *pg)
{
	bool gap = false; /* the last answer was NULL */

	while (pg->state == PG_BUSY && is_asked(pg) && !PQisBusy(pg->conn)) {
		PGresult *r = PQgetResult(pg->conn);
		bool sync = r && PQresultStatus(r) == PGRES_PIPELINE_SYNC;
		bool script;

		assert(pg->batch); /* a busy session has one */
		script = pg->batch->script;
		if (r && !sync)
			take_result(pg, r);
		PQclear(r);
		if (PQstatus(pg->conn) == CONNECTION_BAD || (!r && gap)) {
			pg_down_libpq(pg, "PostgreSQL");
			return;
		}
		if (!r && !script)
			pg->expected_at++;
		gap = !r;
		if (!r && script && !PQenterPipelineMode(pg->conn))
			pg_down_libpq(pg, "entering pipeline mode");
		else if (sync || (!r && script))
			batch_over(pg);
	}
}

/* --- sending --- */

static int expect(struct pg *pg, size_t statement, struct prepared *p)
{
	if (pg->expected_count == pg->expected_cap) {
		size_t cap = pg->expected_cap ? pg->expected_cap * 2 : 16;
		struct expected *bigger = realloc(pg->expected, cap * sizeof(*bigger));

		if (!bigger)
			return -1;
		pg->expected = bigger;
		pg->expected_cap = cap;
	}
	pg->expected[pg->expected_count++] = (struct expected){statement, p};
	return 0;
}

/* The plan for a statement, asked for in this pipeline if need be. NULL: send it without. */
static struct prepared *prepare(struct pg *pg, size_t i, const struct pg_statement *s)
{
	struct str sql = str_from(s->sql);
	struct prepared *p = map_get(&pg->prepared, sql);

	if (p || pg->prepared.count >= PREPARED_MAX || sql.len > PREPARED_TEXT_MAX)
		return p;
	p = calloc(1, sizeof(*p));
	if (!p || map_put(&pg->prepared, sql, p, NULL, NULL) < 0) {
		free(p);
		return NULL;
	}
	snprintf(p->name, sizeof(p->name), "s%llu", (unsigned long long)++pg->prepared_made);
	if (expect(pg, i, p) == 0 && PQsendPrepare(pg->conn, p->name, s->sql, (int)s->n, NULL))
		return p;
	timer_start(&pg->timer, 0, 0);
	return NULL;
}

static int send_statement(struct pg *pg, size_t i, const struct pg_statement *s)
{
	const struct prepared *p = prepare(pg, i, s);
	int ok;

	if (expect(pg, i, NULL) < 0)
		return -1;
	if (p)
		ok = PQsendQueryPrepared(pg->conn, p->name, (int)s->n, s->params, NULL, NULL, 0);
	else
		ok = PQsendQueryParams(pg->conn, s->sql, (int)s->n, NULL, s->params, NULL, NULL, 0);
	return ok ? 0 : -1;
}

/* The next statements of the batch; after the last of them the sync. */
static int send_some(struct pg *pg)
{
	const struct pg_batch *b = pg->batch;
	size_t bytes = 0;

	for (; pg->sent < b->count && bytes < SEND_BYTES; pg->sent++) {
		if (send_statement(pg, pg->sent, &b->statements[pg->sent]) < 0)
			return -1;
		bytes += b->statements[pg->sent].bytes;
	}
	if (pg->sent < b->count)
		return 0;
	pg->synced = true;
	return PQpipelineSync(pg->conn) ? 0 : -1;
}

static int send_script(struct pg *pg)
{
	pg->synced = true;
	return PQexitPipelineMode(pg->conn) && PQsendQuery(pg->conn, pg->batch->statements[0].sql)
		       ? 0
		       : -1;
}

void pg_flush(struct pg *pg)
{
	int rc = PQflush(pg->conn);

	if (rc == 0 && !pg->synced)
		rc = send_some(pg) < 0 ? -1 : PQflush(pg->conn);
	if (rc < 0)
		timer_start(&pg->timer, 0, 0);
	pg_watch(pg, UV_READABLE | (rc > 0 || !pg->synced ? UV_WRITABLE : 0));
}

void pg_run(struct pg *pg, struct pg_batch *b)
{
	assert(pg->state == PG_IDLE);
	pg_move(pg, PG_BUSY);
	pg->batch = b;
	pg->sent = 0;
	pg->synced = false;
	pg->expected_count = 0;
	pg->expected_at = 0;
	pg->failed = false;
	pg->fatal = false;
	if (b->script && send_script(pg) < 0)
		timer_start(&pg->timer, 0, 0);
	else
		pg_flush(pg);
}

size_t pg_result_rows(const struct pg_result *r)
{
	return (size_t)PQntuples(r->r);
}

size_t pg_result_columns(const struct pg_result *r)
{
	return (size_t)PQnfields(r->r);
}

const char *pg_result_name(const struct pg_result *r, size_t column)
{
	return PQfname(r->r, (int)column);
}

unsigned pg_result_type(const struct pg_result *r, size_t column)
{
	return PQftype(r->r, (int)column);
}

struct str pg_result_text(const struct pg_result *r, size_t row, size_t column)
{
	if (PQgetisnull(r->r, (int)row, (int)column))
		return STR_NONE;
	return (struct str){PQgetvalue(r->r, (int)row, (int)column),
			    (size_t)PQgetlength(r->r, (int)row, (int)column)};
}

uint64_t pg_result_affected(const struct pg_result *r)
{
	uint64_t n;

	return str_u64(str_from(PQcmdTuples(r->r)), &n) == 0 ? n : 0;
}
