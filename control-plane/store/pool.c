/* Sessions for batches.
 *
 * Happy path: pool_run puts the batch in line; the dispatcher (a zero timer, so that nothing is
 * answered from inside pool_run) hands it to an idle session; its on_end is the owner's.
 * Failure paths:
 * - no session until the deadline: unsent
 * - no answer until the deadline: the session is dropped, the batch is lost
 * - session lost: the batch is lost at once; what to do then is the owner's
 * - too many in line: unsent, on the next turn
 */
#include "control-plane/store/pool.h"

#include "common/core/clock.h"
#include "common/core/log.h"

enum {
	SWEEP_MS = 50,
	POOL_SIZE_MAX = 256,
	/* A server ends a statement before this side gives up on the session. */
	STATEMENT_SHARE = 3,
	LOCK_MS = 1500,
};

struct pool {
	struct loop *loop;
	struct pg **sessions;
	unsigned size;
	unsigned closing_left;
	bool closing;
	bool held; /* nothing is handed out yet */
	bool reachable;
	uint64_t timeout_ns;
	struct link waiting; /* struct pg_batch */
	struct link running; /* struct pg_batch */
	size_t waiting_count;
	struct timer dispatch; /* at once, when something may be handed out */
	struct timer sweep;    /* while something waits or runs */
	void (*closed)(void *arg);
	void *closed_arg;
};

static struct pg *idle_session(const struct pool *p)
{
	for (unsigned i = 0; i < p->size; i++)
		if (pg_idle(p->sessions[i]))
			return p->sessions[i];
	return NULL;
}

static void fail_unsent(struct pool *p, struct pg_batch *b, const char *why)
{
	struct pg_failure f = {.kind = PG_UNSENT};

	list_remove(&b->link);
	p->waiting_count--;
	err_set(&f.err, ERR_UNAVAILABLE, "database: %s", why);
	b->on_end(b, &f);
}

static void set_reachable(struct pool *p, bool reachable, const struct err *why)
{
	if (p->reachable == reachable)
		return;
	p->reachable = reachable;
	if (reachable)
		log_notice("database reachable", log_u64("sessions", p->size));
	else
		log_error("database not reachable", log_err(why));
}

static void on_dispatch(struct timer *t)
{
	struct pool *p = container_of(t, struct pool, dispatch);

	while (!p->closing && !p->held && !list_empty(&p->waiting)) {
		struct pg *pg = idle_session(p);
		struct pg_batch *b;

		if (p->waiting_count > POOL_WAITING_MAX) {
			b = container_of(list_last(&p->waiting), struct pg_batch, link);
			fail_unsent(p, b, "too many calls wait");
			continue;
		}
		if (!pg)
			return;
		b = container_of(list_first(&p->waiting), struct pg_batch, link);
		list_remove(&b->link);
		p->waiting_count--;
		b->runs_on = pg;
		list_push(&p->running, &b->link);
		pg_run(pg, b);
	}
}

static void wake(struct pool *p)
{
	if (!p->closing && !timer_active(&p->dispatch))
		timer_start(&p->dispatch, 0, 0);
}

static bool expired(const struct link *list, uint64_t now, struct pg_batch **out)
{
	list_for_each(it, list)
	{
		*out = container_of(it, struct pg_batch, link);
		if ((*out)->deadline <= now)
			return true;
	}
	return false;
}

/* One at a time from the start: ending a batch may change both lists. */
static void on_sweep(struct timer *t)
{
	struct pool *p = container_of(t, struct pool, sweep);
	uint64_t now = clock_mono_ns();
	struct pg_batch *b;

	while (!p->closing && expired(&p->running, now, &b)) {
		struct err e = ERR_INIT;

		err_set(&e, ERR_TIMEOUT, "no answer in time");
		set_reachable(p, false, &e);
		pg_drop(b->runs_on, e.message);
	}
	while (!p->closing && expired(&p->waiting, now, &b))
		fail_unsent(p, b, p->reachable ? "no free session in time" : "not reachable");
	if (!p->closing && list_empty(&p->running) && list_empty(&p->waiting))
		timer_stop(&p->sweep);
}

/* --- sessions' events --- */

static void on_up(struct pg *pg, void *arg)
{
	struct pool *p = arg;

	(void)pg;
	set_reachable(p, true, NULL);
	wake(p);
}

/* One session may fail while others work (too many connections): that is still reachable. */
static void on_down(struct pg *pg, const struct err *why, void *arg)
{
	struct pool *p = arg;

	(void)pg;
	for (unsigned i = 0; i < p->size; i++)
		if (pg_up(p->sessions[i]))
			return;
	set_reachable(p, false, why);
}

static void on_idle(struct pg *pg, void *arg)
{
	on_up(pg, arg);
}

/* --- life --- */

static struct pg_limits limits_of(uint64_t timeout_ms)
{
	struct pg_limits l = {.idle_in_transaction_ms = (unsigned)timeout_ms};

	l.statement_ms = (unsigned)(timeout_ms - timeout_ms / STATEMENT_SHARE);
	l.lock_ms = l.statement_ms < LOCK_MS ? l.statement_ms : LOCK_MS;
	return l;
}

static void on_part_closed(void *arg)
{
	struct pool *p = arg;

	if (--p->closing_left > 0)
		return;
	if (p->closed)
		p->closed(p->closed_arg);
	free(p->sessions);
	free(p);
}

static void on_dispatch_closed(struct timer *t)
{
	on_part_closed(container_of(t, struct pool, dispatch));
}

static void on_sweep_closed(struct timer *t)
{
	on_part_closed(container_of(t, struct pool, sweep));
}

int pool_create(struct pool **out, struct loop *l, const struct pool_conf *c, struct err *e)
{
	struct pool *p = calloc(1, sizeof(*p));
	struct pg_events ev = {on_up, on_down, on_idle, NULL, p};
	struct pg_conf pc = {c->conninfo, limits_of(c->timeout_ms)};

	if (c->size == 0 || c->size > POOL_SIZE_MAX) {
		free(p);
		return err_set(e, ERR_INVALID, "a pool has 1 to %d sessions", POOL_SIZE_MAX);
	}
	if (p)
		p->sessions = calloc(c->size, sizeof(*p->sessions));
	if (!p || !p->sessions) {
		free(p);
		return err_memory(e, "database pool");
	}
	p->loop = l;
	p->held = true;
	p->timeout_ns = c->timeout_ms * 1000000;
	list_init(&p->waiting);
	list_init(&p->running);
	timer_init(&p->dispatch, l, on_dispatch);
	timer_init(&p->sweep, l, on_sweep);
	while (p->size < c->size) {
		if (pg_create(&p->sessions[p->size], l, &pc, &ev, e) < 0) {
			pool_close(p, NULL, NULL);
			return -1;
		}
		p->size++;
	}
	*out = p;
	return 0;
}

void pool_run(struct pool *p, struct pg_batch *b)
{
	if (!b->deadline)
		b->deadline = clock_mono_ns() + p->timeout_ns - SWEEP_MS * 1000000ULL;
	list_push(&p->waiting, &b->link);
	p->waiting_count++;
	wake(p);
	if (!p->closing && !timer_active(&p->sweep))
		timer_start(&p->sweep, SWEEP_MS, SWEEP_MS);
}

void pool_release(struct pool *p)
{
	p->held = false;
	wake(p);
}

bool pool_reachable(const struct pool *p)
{
	return p->reachable;
}

void pool_close(struct pool *p, void (*closed)(void *arg), void *arg)
{
	p->closing = true;
	p->closed = closed;
	p->closed_arg = arg;
	p->closing_left = p->size + 2;
	for (unsigned i = 0; i < p->size; i++)
		pg_close(p->sessions[i], on_part_closed, p);
	while (!list_empty(&p->waiting))
		fail_unsent(p, container_of(list_first(&p->waiting), struct pg_batch, link),
			    "the store is closing");
	timer_close(&p->dispatch, on_dispatch_closed);
	timer_close(&p->sweep, on_sweep_closed);
}
