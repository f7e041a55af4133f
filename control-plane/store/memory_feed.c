/* The feed of a store in memory.
 *
 *   follow, or another state ─▶ step: reset when all is to be given ─▶ rows, some in each turn ─▶
 *   commit ─▶ step again when the state is another one by now
 *
 * A state does not change while it is given: what was given is one whole revision.
 */
#include "common/core/clock.h"
#include "control-plane/store/memory.h"

enum { STEP_ROWS = 200 };

static void on_step(struct deferred *d);

void memory_feed_init(struct memory_feed *f)
{
	*f = (struct memory_feed){.on = false};
	deferred_init(&f->step, on_step);
}

void memory_feed_kick(struct memory *m)
{
	if (m->feed.on && !m->closing)
		loop_defer(m->loop, &m->feed.step);
}

int memory_feed_follow(struct memory *m, const struct feed_events *ev, struct err *e)
{
	if (m->feed.on)
		return err_set(e, ERR_INTERNAL, "the store has a follower already");
	m->feed.events = *ev;
	m->feed.on = true;
	m->feed.loaded = false;
	memory_feed_kick(m);
	return 0;
}

void memory_feed_unfollow(struct memory *m)
{
	m->feed.on = false;
	memory_state_unref(m->feed.giving);
	m->feed.giving = NULL;
	deferred_cancel(&m->feed.step);
}

uint64_t memory_feed_seen_ns(const struct memory *m)
{
	const struct memory_feed *f = &m->feed;

	if (!f->loaded)
		return 0;
	return f->revision == m->now->revision ? clock_mono_ns() : f->committed_ns;
}

/* The first place of a table in revision order that is newer. */
static size_t first_after(const struct memory_table *t, uint64_t revision)
{
	size_t from = 0, to = t->count;

	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (t->rows[t->by_revision[middle]].revision <= revision)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

static void enter_kind(struct memory_feed *f)
{
	const struct memory_state *s = f->giving;

	while (f->kind < MEMORY_KINDS_MAX && s->tables[f->kind] &&
	       !s->tables[f->kind]->entity->pushed)
		f->kind++;
	if (f->kind < MEMORY_KINDS_MAX && s->tables[f->kind])
		f->row_at = first_after(s->tables[f->kind], f->after);
}

static void begin(struct memory *m)
{
	struct memory_feed *f = &m->feed;
	bool all = !f->loaded || f->revision < m->now->floor;

	f->giving = memory_state_ref(m->now);
	/* Rows of revision 0 there are none. */
	f->after = all ? 0 : f->revision;
	f->removed_at = 0;
	f->kind = 0;
	enter_kind(f);
	if (all)
		f->events.on_reset(m->epoch, f->events.arg);
}

static bool give_removed(struct memory_feed *f)
{
	const struct memory_removed *r;
	struct feed_change c;

	if (f->removed_at == f->giving->removed_count)
		return false;
	r = &f->giving->removed[f->removed_at++];
	c = (struct feed_change){.entity = r->entity, .id = r->id, .revision = r->revision};
	if (r->revision > f->after)
		f->events.on_change(&c, f->events.arg);
	return true;
}

static bool give_row(struct memory_feed *f)
{
	const struct memory_table *t;
	const struct memory_row *row;
	struct feed_change c;

	while (f->kind < MEMORY_KINDS_MAX && f->giving->tables[f->kind] &&
	       f->row_at == f->giving->tables[f->kind]->count) {
		f->kind++;
		enter_kind(f);
	}
	t = f->kind < MEMORY_KINDS_MAX ? f->giving->tables[f->kind] : NULL;
	if (!t)
		return false;
	row = &t->rows[t->by_revision[f->row_at++]];
	c = (struct feed_change){.entity = t->entity,
				 .id = row->id,
				 .revision = row->revision,
				 .row = row->refused ? NULL : row->row,
				 .refused = row->refused};
	f->events.on_change(&c, f->events.arg);
	return true;
}

static void commit(struct memory_feed *f)
{
	struct memory_state *s = f->giving;

	f->giving = NULL;
	f->loaded = true;
	f->revision = s->revision;
	f->committed_ns = clock_mono_ns();
	f->events.on_commit(s->revision, s->floor, f->events.arg);
	memory_state_unref(s);
}

static void on_step(struct deferred *d)
{
	struct memory *m = container_of(d, struct memory, feed.step);
	struct memory_feed *f = &m->feed;

	if (!f->on)
		return;
	if (!f->giving && f->loaded && f->revision == m->now->revision)
		return;
	if (!f->giving)
		begin(m);
	for (size_t i = 0; i < STEP_ROWS && f->on; i++) {
		if (give_removed(f) || give_row(f))
			continue;
		commit(f);
		break;
	}
	/* Until there is nothing new. */
	memory_feed_kick(m);
}
