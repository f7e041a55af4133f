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

#include "common/core/clock.h"
#include "common/core/log.h"
#include "common/core/sm.h"
#include "control-plane/store/pg_internal.h"

enum {
	CONNECT_TIMEOUT_MS = 2000,
	BACKOFF_MIN_MS = 50,
	BACKOFF_MAX_MS = 2000,
	/* A session that lasted so long makes the next attempt start at once. */
	SETTLED_NS = 1000000000,
};

static const struct sm_state states[PG_STATES] = {
	[PG_DOWN] = {"down", SM_TO(PG_RESOLVING) | SM_TO(PG_CONNECTING) | SM_TO(PG_CLOSED)},
	[PG_RESOLVING] = {"resolving", SM_TO(PG_CONNECTING) | SM_TO(PG_DOWN) | SM_TO(PG_CLOSED)},
	[PG_CONNECTING] = {"connecting", SM_TO(PG_IDLE) | SM_TO(PG_DOWN) | SM_TO(PG_CLOSED)},
	[PG_IDLE] = {"idle", SM_TO(PG_BUSY) | SM_TO(PG_DOWN) | SM_TO(PG_CLOSED)},
	[PG_BUSY] = {"busy", SM_TO(PG_IDLE) | SM_TO(PG_DOWN) | SM_TO(PG_CLOSED)},
	[PG_CLOSED] = {"closed", 0},
};

static const struct sm machine = {"pg", states, PG_STATES};

static void attempt(struct pg *pg);
static void on_poll(uv_poll_t *uv, int status, int events);

void pg_move(struct pg *pg, enum pg_state to)
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

static void disconnect(struct pg *pg)
{
	poll_drop(pg);
	PQfinish(pg->conn);
	pg->conn = NULL;
	pg_forget_plans(pg);
	timer_stop(&pg->timer);
	if (pg->resolve) {
		pg->resolve->pg = NULL;
		uv_cancel((uv_req_t *)&pg->resolve->uv);
		pg->resolve = NULL;
	}
}

/* The session or the attempt is over. */
void pg_down(struct pg *pg, const struct err *why)
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
		pg_end_batch(pg, &f);
}

/* The first line of libpq's message: the rest is hints and context. */
static int libpq_err(struct pg *pg, const char *doing, struct err *e)
{
	const char *text = pg->conn ? PQerrorMessage(pg->conn) : "out of memory";

	return err_set(e, ERR_UNAVAILABLE, "%s: %.*s", doing, (int)strcspn(text, "\n"), text);
}

void pg_down_libpq(struct pg *pg, const char *doing)
{
	struct err e = ERR_INIT;

	libpq_err(pg, doing, &e);
	pg_down(pg, &e);
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
	PQsetnonblocking(pg->conn, 1);
	if (!PQenterPipelineMode(pg->conn)) {
		pg_down_libpq(pg, "entering pipeline mode");
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
		pg_down_libpq(pg, "connecting to PostgreSQL");
		return;
	}
	if (status == PGRES_POLLING_WRITING)
		events = UV_WRITABLE;
	if (poll_make(pg, events, &e) < 0)
		pg_down(pg, &e);
	else if (status == PGRES_POLLING_OK)
		up(pg);
}

static void connect_start(struct pg *pg, const char *address)
{
	struct err e = ERR_INIT;

	pg_move(pg, PG_CONNECTING);
	pg->conn = PQconnectStartParams(pg->target.keywords, pg_target_values(&pg->target, address),
					0);
	PQsetNoticeReceiver(pg->conn, on_notice, NULL);
	if (!pg->conn || PQstatus(pg->conn) == CONNECTION_BAD)
		pg_down_libpq(pg, "connecting to PostgreSQL");
	else if (poll_make(pg, UV_WRITABLE, &e) < 0)
		pg_down(pg, &e);
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
	pg_down(pg, &e);
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
	pg_down(pg, &e);
}

static void on_timer(struct timer *t)
{
	struct pg *pg = container_of(t, struct pg, timer);
	struct err e = ERR_INIT;

	if (pg->state == PG_DOWN) {
		attempt(pg);
	} else if (pg->state == PG_BUSY) {
		pg_down_libpq(pg, "sending to PostgreSQL");
	} else {
		err_set(&e, ERR_TIMEOUT, "connecting to PostgreSQL: no answer in %d ms",
			CONNECT_TIMEOUT_MS);
		pg_down(pg, &e);
	}
}

/* --- the session's socket has something --- */

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
			pg_down_libpq(pg, "PostgreSQL");
			return;
		}
		pg_take_results(pg);
		take_notifications(pg);
	}
	if ((events & UV_WRITABLE) && pg->state == PG_BUSY)
		pg_flush(pg);
}

void pg_watch(struct pg *pg, int events)
{
	if (pg->poll)
		uv_poll_start(&pg->poll->uv, events, on_poll);
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
	pg_down(pg, &e);
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
		pg_end_batch(pg, &f);
	timer_close(&pg->timer, on_timer_closed);
}
