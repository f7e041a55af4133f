#include "control-plane/acme/group.h"

#include <stdlib.h>

#include "common/core/log.h"
#include "control-plane/acme/engine.h"
#include "control-plane/acme/ids.h"

enum { UNDER_WAY_MAX = 2 }; /* one is written while the next is put together */

void group_init(struct group *g, void (*ask)(struct group_batch *b), size_t most)
{
	*g = (struct group){.ask = ask, .most = most, .under_way_max = UNDER_WAY_MAX};
	list_init(&g->waiting);
}

static struct order *first(const struct group *g)
{
	struct link *l = list_first(&g->waiting);

	return l ? container_of(l, struct order, grouped) : NULL;
}

/* How many go together: one that failed goes by itself. */
static size_t next_size(const struct group *g)
{
	size_t n = 0;

	if (first(g)->alone)
		return 1;
	list_for_each(it, &g->waiting)
	{
		if (n == g->most || container_of(it, struct order, grouped)->alone)
			break;
		n++;
	}
	return n;
}

static void give_up_first(struct group *g, const struct err *e)
{
	struct order *o = first(g);

	log_error("order given back", log_str("id", o->id), log_err(e));
	order_end(o);
}

static void ask_next(struct group *g)
{
	size_t n = next_size(g);
	struct group_batch *b = calloc(1, sizeof(*b) + n * sizeof(*b->orders));
	struct err e = ERR_INIT;

	if (!b) {
		err_memory(&e, "orders of one question");
		give_up_first(g, &e);
		return;
	}
	b->group = g;
	for (; b->count < n; b->count++) {
		struct order *o = first(g);

		list_remove(&o->grouped);
		o->alone = false;
		order_sleep(o);
		b->orders[b->count] = o;
	}
	g->under_way++;
	g->ask(b);
}

static void pump(struct group *g)
{
	while (!list_empty(&g->waiting) && g->under_way < g->under_way_max)
		ask_next(g);
}

void group_add(struct group *g, struct order *o)
{
	list_push(&g->waiting, &o->grouped);
	pump(g);
}

struct order *group_awoke(struct group_batch *b, size_t i)
{
	return order_awoke(b->orders[i]) ? b->orders[i] : NULL;
}

/* Without the database nobody gets anywhere alone either. */
bool group_again(struct group_batch *b, const struct store_result *r)
{
	if (r->fault == STORE_OK || r->fault == STORE_UNAVAILABLE || b->count < 2)
		return false;
	for (size_t i = b->count; i > 0; i--) {
		struct order *o = group_awoke(b, i - 1);

		if (!o)
			continue;
		o->alone = true;
		list_push_front(&b->group->waiting, &o->grouped);
	}
	return true;
}

void group_end(struct group_batch *b)
{
	struct group *g = b->group;

	g->under_way--;
	free(b);
	pump(g);
}

void group_answer(struct group_batch *b, const struct store_result *r,
		  void (*each)(struct order *o, const struct store_result *r))
{
	bool again = group_again(b, r);

	for (size_t i = 0; !again && i < b->count; i++) {
		struct order *o = group_awoke(b, i);

		if (o)
			each(o, r);
	}
	group_end(b);
}

int group_names(const struct group_batch *b, struct buf *out, struct err *e)
{
	for (size_t i = 0; i < b->count; i++)
		if (buf_addf(out, e, "%s%s", i ? " " : "", b->orders[i]->names.data) != 0)
			return -1;
	return 0;
}

int group_ids(const struct group_batch *b, struct buf *out, struct err *e)
{
	for (size_t i = 0; i < b->count; i++)
		if (ids_add(out, b->orders[i]->id, e) != 0)
			return -1;
	return ids_end(out, e);
}
