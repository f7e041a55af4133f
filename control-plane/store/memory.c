/* The store without a database: life, answers, and the one state. */
#include "control-plane/store/memory.h"

#include <stdlib.h>

#include "common/core/log.h"

struct answer {
	struct link link;
	store_done done;
	void *arg;
	struct store_result result;
};

/* --- answers --- */

static void give(struct answer *a)
{
	a->done(&a->result, a->arg);
	json_decref(a->result.rows);
	free(a);
}

static void on_deliver(struct deferred *d)
{
	struct memory *m = container_of(d, struct memory, deliver);
	struct link now;

	memory_hold(m);
	/* What is asked from inside a callback is answered in the next turn. */
	list_init(&now);
	while (!list_empty(&m->answers)) {
		struct link *l = m->answers.next;

		list_remove(l);
		list_push(&now, l);
	}
	while (!list_empty(&now)) {
		struct link *l = now.next;

		list_remove(l);
		give(container_of(l, struct answer, link));
		m->closing_left--;
	}
	if (m->closing && !m->ended) {
		m->ended = true;
		m->closing_left--;
	}
	memory_release(m);
}

static void fill_err(struct store_result *r)
{
	static const struct {
		enum store_fault fault;
		enum err_kind kind;
		const char *text;
	} texts[] = {
		{STORE_UNAVAILABLE, ERR_UNAVAILABLE, "a configuration is being loaded"},
		{STORE_READ_ONLY, ERR_INVALID, "not possible when not using a database"},
		{STORE_FAILED, ERR_MEMORY, "out of memory: store in memory"},
	};

	for (size_t i = 0; i < array_len(texts); i++)
		if (texts[i].fault == r->fault)
			err_set(&r->err, texts[i].kind, "%s", texts[i].text);
}

void memory_answer(struct memory *m, store_done done, void *arg, enum store_fault fault,
		   json_t *rows)
{
	struct answer *a = calloc(1, sizeof(*a));
	struct store_result r = {.fault = fault, .rows = rows, .affected = json_array_size(rows)};

	r.revision = m->now->revision;
	fill_err(&r);
	if (!a) {
		/* Nothing to answer later with: the one exception to the house rule. */
		r.fault = STORE_FAILED;
		fill_err(&r);
		done(&r, arg);
		json_decref(rows);
		return;
	}
	*a = (struct answer){.done = done, .arg = arg, .result = r};
	memory_hold(m);
	list_push(&m->answers, &a->link);
	loop_defer(m->loop, &m->deliver);
}

/* --- the state --- */

void memory_replace(struct memory *m, struct memory_state *s)
{
	memory_state_unref(m->now);
	m->now = s;
	memory_feed_kick(m);
}

/* --- life --- */

int memory_create(struct memory **out, struct loop *l, struct err *e)
{
	struct memory *m = calloc(1, sizeof(*m));

	if (!m)
		return err_memory(e, "store in memory");
	m->loop = l;
	m->nodes = json_object();
	memset(m->hash, '0', sizeof(m->hash) - 1);
	if (!m->nodes || uuid_make(m->epoch, e) < 0 || memory_state_empty(&m->now, e) < 0) {
		json_decref(m->nodes);
		free(m);
		return err_memory(e, "store in memory");
	}
	list_init(&m->answers);
	deferred_init(&m->deliver, on_deliver);
	memory_feed_init(&m->feed);
	m->closing_left = 1; /* until on_deliver sees it closing */
	*out = m;
	return 0;
}

void memory_hold(struct memory *m)
{
	m->closing_left++;
}

void memory_release(struct memory *m)
{
	if (--m->closing_left > 0)
		return;
	memory_state_unref(m->now);
	json_decref(m->nodes);
	if (m->closed)
		m->closed(m->closed_arg);
	free(m);
}

void memory_close(struct memory *m, void (*closed)(void *arg), void *arg)
{
	m->closing = true;
	m->closed = closed;
	m->closed_arg = arg;
	memory_feed_unfollow(m);
	loop_defer(m->loop, &m->deliver);
}
