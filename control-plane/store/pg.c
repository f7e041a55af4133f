/* One PostgreSQL session on the loop.
 *
 * Happy path: timer -> (uv_getaddrinfo) -> PQconnectPoll until up -> idle; pg_run sends all of a
 * batch and a sync, results are read as they come, the sync ends the batch.
 * Failure paths:
 * - name not found, refused, authentication, 2 s without a session: down, next host; after a round
 *   of all hosts a jittered backoff of up to 2 s
 * - a statement fails: the server skips to the sync; the batch ends as refused; the session stays
 * - session lost, or a server that became read-only or shuts down: the batch ends as lost; down
 * - sending fails: as lost, on the next turn of the loop
 */
#include "control-plane/store/pg.h"

#include <libpq-fe.h>

#include "common/core/clock.h"
#include "common/core/log.h"
#include "common/core/map.h"
#include "common/core/sm.h"

enum {
	CONNECT_TIMEOUT_MS = 2000,
	BACKOFF_MIN_MS = 50,
	BACKOFF_MAX_MS = 2000,
	/* A session that lasted so long makes the next attempt start at once. */
	SETTLED_NS = 1000000000,
	/* Statements that a session keeps planned; the rest are planned each time. */
	PREPARED_MAX = 256,
	/* Statements with so much text are not worth keeping. */
	PREPARED_TEXT_MAX = 8192,
};

enum pg_state { PG_DOWN, PG_RESOLVING, PG_CONNECTING, PG_IDLE, PG_BUSY, PG_CLOSED, PG_STATES };

static const struct sm_state states[PG_STATES] = {
	[PG_DOWN] = {"down", SM_TO(PG_RESOLVING) | SM_TO(PG_CONNECTING) | SM_TO(PG_CLOSED)},
	[PG_RESOLVING] = {"resolving", SM_TO(PG_CONNECTING) | SM_TO(PG_DOWN) | SM_TO(PG_CLOSED)},
	[PG_CONNECTING] = {"connecting", SM_TO(PG_IDLE) | SM_TO(PG_DOWN) | SM_TO(PG_CLOSED)},
	[PG_IDLE] = {"idle", SM_TO(PG_BUSY) | SM_TO(PG_DOWN) | SM_TO(PG_CLOSED)},
	[PG_BUSY] = {"busy", SM_TO(PG_IDLE) | SM_TO(PG_DOWN) | SM_TO(PG_CLOSED)},
	[PG_CLOSED] = {"closed", 0},
};

static const struct sm machine = {"pg", states, PG_STATES};

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
	struct expected *expected;
	size_t expected_count, expected_cap, expected_at;
	struct pg_failure failure;
	bool failed; /* failure is set */
	bool fatal;  /* failure says that the session is of no use */
	void (*closed)(void *arg);
	void *closed_arg;
};

static void attempt(struct pg *pg);
static void on_poll(uv_poll_t *uv, int status, int events);

static void pg_move(struct pg *pg, enum pg_state to)
{
	pg->state = sm_move(&machine, pg->state, to, NULL);
}

/* --- the socket --- */

static void on_poll_closed(uv_handle_t *uv)
{
	free(container_of(uv, struct poll, uv));
}

static void poll_drop(struct pg *pg)
{
	if (!pg->poll)
		return;
	pg->poll->pg = NULL;
	uv_poll_stop(&pg->poll->uv);
	uv_close((uv_handle_t *)&pg->poll->uv, on_poll_closed);
	pg->poll = NULL;
}

static int poll_make(struct pg *pg, int events, struct err *e)
{
	struct poll *p = calloc(1, sizeof(*p));
	int rc;

	if (!p)
		return err_memory(e, "watching the database socket");
	rc = uv_poll_init(&pg->loop->uv, &p->uv, PQsocket(pg->conn));
	if (rc < 0) {
		free(p);
		return err_set(e, ERR_INTERNAL, "watching the database socket: %s",
			       uv_strerror(rc));
	}
	p->pg = pg;
	pg->poll = p;
	uv_poll_start(&p->uv, events, on_poll);
	return 0;
}

/* --- down --- */

static void prepared_clear(struct pg *pg)
{
	size_t pos = 0;
	struct str sql;
	void *value;

	while (map_next(&pg->prepared, &pos, &sql, &value))
		free(value);
	map_deinit(&pg->prepared);
	map_init(&pg->prepared);
}

/* Full jitter over the upper half, so that many sessions do not come back together. */
static uint64_t backoff_ms(const struct pg *pg)
{
	unsigned shift = pg->failures < 6 ? pg->failures : 6;
	uint64_t ms = (uint64_t)BACKOFF_MIN_MS << shift;
	uint16_t random = 0;

	if (ms > BACKOFF_MAX_MS)
		ms = BACKOFF_MAX_MS;
	uv_random(NULL, NULL, &random, sizeof(random), 0, NULL);
	return ms / 2 + ms / 2 * random / UINT16_MAX;
}

static void end_batch(struct pg *pg, const struct pg_failure *f)
{
	struct pg_batch *b = pg->batch;

	pg->batch = NULL;
	pg->expected_count = 0;
	list_remove(&b->link);
	b->on_end(b, f);
}

static void disconnect(struct pg *pg)
{
	poll_drop(pg);
	PQfinish(pg->conn);
	pg->conn = NULL;
	prepared_clear(pg);
	timer_stop(&pg->timer);
	if (pg->resolve) {
		pg->resolve->pg = NULL;
		uv_cancel((uv_req_t *)&pg->resolve->uv);
		pg->resolve = NULL;
	}
}

/* The session or the attempt is over. */
static void down(struct pg *pg, const struct err *why)
{
	struct pg_failure f = {.kind = PG_LOST, .err = *why};
	bool had_session = pg_up(pg);
	uint64_t wait = 0;

	disconnect(pg);
	pg_move(pg, PG_DOWN);
	if (had_session && clock_mono_ns() - pg->up_at > SETTLED_NS) {
		pg->failures = 0;
	} else if (pg_target_round_done(&pg->target)) {
		wait = backoff_ms(pg);
		pg->failures++;
	}
	timer_start(&pg->timer, wait, 0);
	f.err.kind = ERR_UNAVAILABLE;
	pg->events.on_down(pg, &f.err, pg->events.arg);
	if (pg->batch)
		end_batch(pg, &f);
}

/* The first line of libpq's message: the rest is hints and context. */
static int libpq_err(struct pg *pg, const char *doing, struct err *e)
{
	const char *text = pg->conn ? PQerrorMessage(pg->conn) : "out of memory";

	return err_set(e, ERR_UNAVAILABLE, "%s: %.*s", doing, (int)strcspn(text, "\n"), text);
}

static void down_libpq(struct pg *pg, const char *doing)
{
	struct err e = ERR_INIT;

	libpq_err(pg, doing, &e);
	down(pg, &e);
}

/* --- connecting --- */

/* libpq would print them on stderr. */
static void on_notice(void *arg, const PGresult *r)
{
	(void)arg;
	log_debug("notice from PostgreSQL",
		  log_str("message", PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY)));
}

static void up(struct pg *pg)
{
	PQsetNoticeReceiver(pg->conn, on_notice, NULL);
	PQsetnonblocking(pg->conn, 1);
	if (!PQenterPipelineMode(pg->conn)) {
		down_libpq(pg, "entering pipeline mode");
		return;
	}
	timer_stop(&pg->timer);
	pg->up_at = clock_mono_ns();
	pg_move(pg, PG_IDLE);
	pg->events.on_up(pg, pg->events.arg);
}

static void connect_step(struct pg *pg)
{
	PostgresPollingStatusType status;
	struct err e = ERR_INIT;
	int events = UV_READABLE;

	/* PQconnectPoll may close the socket and make another. */
	poll_drop(pg);
	status = PQconnectPoll(pg->conn);
	if (status == PGRES_POLLING_FAILED) {
		down_libpq(pg, "connecting to PostgreSQL");
		return;
	}
	if (status == PGRES_POLLING_WRITING)
		events = UV_WRITABLE;
	if (poll_make(pg, events, &e) < 0)
		down(pg, &e);
	else if (status == PGRES_POLLING_OK)
		up(pg);
}

static void connect_start(struct pg *pg, const char *address)
{
	struct err e = ERR_INIT;

	pg_move(pg, PG_CONNECTING);
	pg->conn = PQconnectStartParams(pg->target.keywords, pg_target_values(&pg->target, address),
					0);
	if (!pg->conn || PQstatus(pg->conn) == CONNECTION_BAD)
		down_libpq(pg, "connecting to PostgreSQL");
	else if (poll_make(pg, UV_WRITABLE, &e) < 0)
		down(pg, &e);
}

static void on_resolved(uv_getaddrinfo_t *uv, int status, struct addrinfo *all)
{
	struct resolve *r = container_of(uv, struct resolve, uv);
	struct pg *pg = r->pg;
	struct err e = ERR_INIT;
	struct addrinfo *one = all;
	char address[INET6_ADDRSTRLEN] = "";
	size_t n = 0;

	free(r);
	if (pg) {
		pg->resolve = NULL;
		for (struct addrinfo *a = all; a; a = a->ai_next)
			n++;
		/* Another address of the name at each round. */
		for (size_t i = 0; n && i < pg->failures % n; i++)
			one = one->ai_next;
		if (status == 0 && one)
			getnameinfo(one->ai_addr, one->ai_addrlen, address, sizeof(address), NULL,
				    0, NI_NUMERICHOST);
	}
	uv_freeaddrinfo(all);
	if (!pg)
		return;
	if (address[0]) {
		connect_start(pg, address);
		return;
	}
	err_set(&e, ERR_UNAVAILABLE, "resolving the database's host: %s", uv_strerror(status));
	down(pg, &e);
}

static int resolve_start(struct pg *pg, const char *host)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC};
	struct resolve *r = calloc(1, sizeof(*r));

	if (!r)
		return -1;
	r->pg = pg;
	if (uv_getaddrinfo(&pg->loop->uv, &r->uv, on_resolved, host, NULL, &hints) < 0) {
		free(r);
		return -1;
	}
	pg->resolve = r;
	return 0;
}

static void attempt(struct pg *pg)
{
	const struct pg_host *h = pg_target_next(&pg->target);
	bool by_name = h->host && h->host[0] != '/' && h->host[0] != '@' && !h->hostaddr;
	struct err e = ERR_INIT;

	timer_start(&pg->timer, CONNECT_TIMEOUT_MS, 0);
	if (!by_name) {
		connect_start(pg, NULL);
		return;
	}
	pg_move(pg, PG_RESOLVING);
	if (resolve_start(pg, h->host) == 0)
		return;
	err_memory(&e, "resolving the database's host");
	down(pg, &e);
}

static void on_timer(struct timer *t)
{
	struct pg *pg = container_of(t, struct pg, timer);
	struct err e = ERR_INIT;

	if (pg->state == PG_DOWN) {
		attempt(pg);
	} else if (pg->state == PG_BUSY) {
		down_libpq(pg, "sending to PostgreSQL");
	} else {
		err_set(&e, ERR_TIMEOUT, "connecting to PostgreSQL: no answer in %d ms",
			CONNECT_TIMEOUT_MS);
		down(pg, &e);
	}
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
		end_batch(pg, &f);
		if (pg->state == PG_BUSY)
			down(pg, &f.err);
		return;
	}
	pg_move(pg, PG_IDLE);
	end_batch(pg, failed ? &f : NULL);
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

/* Reads what has come. Each statement answers with one result and a NULL; the sync with one result.
 * A script has one result per statement in it, and a NULL at its end. */
static void take_results(struct pg *pg)
{
	bool gap = false; /* the last answer was NULL */

	while (pg->state == PG_BUSY && !PQisBusy(pg->conn)) {
		PGresult *r = PQgetResult(pg->conn);
		bool sync = r && PQresultStatus(r) == PGRES_PIPELINE_SYNC;
		bool script = pg->batch->script;

		if (r && !sync)
			take_result(pg, r);
		PQclear(r);
		if (PQstatus(pg->conn) == CONNECTION_BAD || (!r && gap)) {
			down_libpq(pg, "PostgreSQL");
			return;
		}
		if (!r && !script)
			pg->expected_at++;
		gap = !r;
		if (!r && script && !PQenterPipelineMode(pg->conn))
			down_libpq(pg, "entering pipeline mode");
		else if (sync || (!r && script))
			batch_over(pg);
	}
}

static void take_notifications(struct pg *pg)
{
	while (pg->state == PG_IDLE || pg->state == PG_BUSY) {
		PGnotify *n = PQnotifies(pg->conn);

		if (!n)
			return;
		if (pg->events.on_notify)
			pg->events.on_notify(pg, n->relname, n->extra, pg->events.arg);
		PQfreemem(n);
	}
}

static void flush(struct pg *pg)
{
	int rc = PQflush(pg->conn);

	if (rc < 0)
		timer_start(&pg->timer, 0, 0);
	if (pg->poll)
		uv_poll_start(&pg->poll->uv, UV_READABLE | (rc > 0 ? UV_WRITABLE : 0), on_poll);
}

static void on_poll(uv_poll_t *uv, int status, int events)
{
	struct pg *pg = container_of(uv, struct poll, uv)->pg;

	if (!pg)
		return;
	if (pg->state == PG_CONNECTING) {
		connect_step(pg);
		return;
	}
	if (status < 0 || (events & UV_READABLE)) {
		if (!PQconsumeInput(pg->conn)) {
			down_libpq(pg, "PostgreSQL");
			return;
		}
		take_results(pg);
		take_notifications(pg);
	}
	if ((events & UV_WRITABLE) && pg->state == PG_BUSY)
		flush(pg);
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

static int send_batch(struct pg *pg, const struct pg_batch *b)
{
	if (b->script)
		return PQexitPipelineMode(pg->conn) && PQsendQuery(pg->conn, b->statements[0].sql)
			       ? 0
			       : -1;
	for (size_t i = 0; i < b->count; i++)
		if (send_statement(pg, i, &b->statements[i]) < 0)
			return -1;
	return PQpipelineSync(pg->conn) ? 0 : -1;
}

void pg_run(struct pg *pg, struct pg_batch *b)
{
	assert(pg->state == PG_IDLE);
	pg_move(pg, PG_BUSY);
	pg->batch = b;
	pg->expected_count = 0;
	pg->expected_at = 0;
	pg->failed = false;
	pg->fatal = false;
	if (send_batch(pg, b) < 0)
		timer_start(&pg->timer, 0, 0);
	else
		flush(pg);
}

bool pg_up(const struct pg *pg)
{
	return pg->state == PG_IDLE || pg->state == PG_BUSY;
}

bool pg_idle(const struct pg *pg)
{
	return pg->state == PG_IDLE;
}

/* --- life --- */

int pg_create(struct pg **out, struct loop *l, const struct pg_conf *c, const struct pg_events *ev,
	      struct err *e)
{
	struct pg *pg = calloc(1, sizeof(*pg));

	if (!pg)
		return err_memory(e, "database session");
	if (pg_target_init(&pg->target, c->conninfo, &c->limits, e) < 0) {
		free(pg);
		return -1;
	}
	pg->loop = l;
	pg->events = *ev;
	map_init(&pg->prepared);
	timer_init(&pg->timer, l, on_timer);
	timer_start(&pg->timer, 0, 0);
	*out = pg;
	return 0;
}

void pg_drop(struct pg *pg, const char *why)
{
	struct err e = ERR_INIT;

	if (pg->state == PG_DOWN || pg->state == PG_CLOSED)
		return;
	err_set(&e, ERR_UNAVAILABLE, "database: %s", why);
	down(pg, &e);
}

static void on_timer_closed(struct timer *t)
{
	struct pg *pg = container_of(t, struct pg, timer);

	pg_target_deinit(&pg->target);
	map_deinit(&pg->prepared);
	free(pg->expected);
	if (pg->closed)
		pg->closed(pg->closed_arg);
	free(pg);
}

void pg_close(struct pg *pg, void (*closed)(void *arg), void *arg)
{
	struct pg_failure f = {.kind = PG_LOST};

	err_set(&f.err, ERR_UNAVAILABLE, "database: the store is closing");
	disconnect(pg);
	pg_move(pg, PG_CLOSED);
	pg->closed = closed;
	pg->closed_arg = arg;
	if (pg->batch)
		end_batch(pg, &f);
	timer_close(&pg->timer, on_timer_closed);
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
