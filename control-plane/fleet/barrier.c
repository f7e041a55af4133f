/* The waits of the barrier.
 *
 *   happy path:  wait -> (ack, leave, expiry) -> check -> nobody missing -> done(complete) -> freed
 *   timeout:     timer -> done(incomplete, who is missing) -> freed
 *   refused:     barriers_refuse -> check -> done(incomplete, all are missing) -> freed
 *   cancel:      off the list -> freed; done is not called
 */
#include "control-plane/fleet/barrier.h"

#include "common/core/clock.h"

struct barrier {
	struct link link; /* in barriers.waiting until done or cancelled */
	struct barriers *set;
	uint64_t revision;
	uint64_t need_view;
	bool refused;
	struct timer timeout;
	void (*done)(const struct barrier_result *r, void *arg);
	void *arg;
};

static uint64_t now_ms(void)
{
	return clock_mono_ns() / 1000000;
}

static void handle_closed(struct barriers *b)
{
	if (--b->open == 0 && b->closed)
		b->closed(b->arg);
}

static void barrier_closed(struct timer *t)
{
	struct barrier *b = container_of(t, struct barrier, timeout);
	struct barriers *set = b->set;

	free(b);
	handle_closed(set);
}

static void barrier_end(struct barrier *b)
{
	list_remove(&b->link);
	timer_close(&b->timeout, barrier_closed);
}

static void barrier_finish(struct barrier *b, bool complete, uint64_t live)
{
	struct barrier_result r = {.complete = complete, .nodes = live};

	r.missing = complete ? json_array()
			     : members_missing(b->set->members,
					       b->refused ? UINT64_MAX : b->revision, now_ms());
	barrier_end(b);
	b->done(&r, b->arg);
	json_decref(r.missing);
}

static bool is_complete(const struct barrier *b, uint64_t *live)
{
	const struct barriers *set = b->set;
	uint64_t now = now_ms();
	uint64_t missing;

	*live = members_live(set->members, b->revision, now, &missing);
	return missing == 0 && !b->refused && set->view >= b->need_view &&
	       members_newest(set->members, now) <= set->known;
}

static void on_timeout(struct timer *t)
{
	struct barrier *b = container_of(t, struct barrier, timeout);
	uint64_t live;
	bool complete = is_complete(b, &live);

	barrier_finish(b, complete, live);
}

static void on_soon(struct timer *t)
{
	struct barriers *set = container_of(t, struct barriers, soon);
	struct link look;

	/* done may start and cancel waits: take those to look at off first. */
	list_init(&look);
	while (!list_empty(&set->waiting)) {
		struct link *l = set->waiting.next;
		list_remove(l);
		list_push(&look, l);
	}
	while (!list_empty(&look)) {
		struct barrier *b = container_of(look.next, struct barrier, link);
		uint64_t live;
		bool complete = is_complete(b, &live);

		list_remove(&b->link);
		list_push(&set->waiting, &b->link);
		if (complete || b->refused)
			barrier_finish(b, complete, live);
	}
}

void barriers_init(struct barriers *b, struct loop *l, const struct members *m)
{
	memset(b, 0, sizeof(*b));
	list_init(&b->waiting);
	b->loop = l;
	b->members = m;
	b->known = UINT64_MAX;
	timer_init(&b->soon, l, on_soon);
	b->open = 1;
}

static void soon_closed(struct timer *t)
{
	handle_closed(container_of(t, struct barriers, soon));
}

void barriers_close(struct barriers *b, void (*closed)(void *arg), void *arg)
{
	b->closed = closed;
	b->arg = arg;
	list_for_each_safe(l, &b->waiting) barrier_end(container_of(l, struct barrier, link));
	timer_close(&b->soon, soon_closed);
}

int barriers_wait(struct barriers *set, struct barrier **out, uint64_t revision, uint64_t need_view,
		  uint64_t timeout_ms, void (*done)(const struct barrier_result *r, void *arg),
		  void *arg, struct err *e)
{
	struct barrier *b = calloc(1, sizeof(*b));

	if (!b)
		return err_memory(e, "barrier");
	b->set = set;
	b->revision = revision;
	b->need_view = need_view;
	b->done = done;
	b->arg = arg;
	timer_init(&b->timeout, set->loop, on_timeout);
	set->open++;
	timer_start(&b->timeout, timeout_ms, 0);
	list_push(&set->waiting, &b->link);
	barriers_check(set);
	*out = b;
	return 0;
}

void barrier_cancel(struct barrier *b)
{
	if (b)
		barrier_end(b);
}

void barriers_viewed(struct barriers *b, uint64_t view)
{
	b->view = view;
	barriers_check(b);
}

void barriers_known(struct barriers *b, uint64_t revision)
{
	b->known = revision;
	barriers_check(b);
}

void barriers_refuse(struct barriers *set, uint64_t revision)
{
	list_for_each(l, &set->waiting)
	{
		struct barrier *b = container_of(l, struct barrier, link);

		b->refused = b->refused || b->revision == revision;
	}
	barriers_check(set);
}

void barriers_check(struct barriers *b)
{
	if (!list_empty(&b->waiting) && !timer_active(&b->soon))
		timer_start(&b->soon, 0, 0);
}
