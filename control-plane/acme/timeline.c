#include "control-plane/acme/timeline.h"

#include "common/core/str.h"

static json_t *make(int64_t at_ms, const char *event)
{
	return json_pack("{s:f, s:s}", "at", (double)at_ms / 1000, "event", event);
}

static void set_text(json_t *entry, const char *name, const char *text)
{
	if (text && text[0])
		(void)json_object_set_new(entry, name, json_string(text));
}

/* Takes entry over. */
static void add(struct timeline *t, json_t *entry)
{
	if (!t->waiting)
		t->waiting = json_array();
	if (t->waiting && json_array_size(t->waiting) < TIMELINE_WAITING_MAX)
		(void)json_array_append(t->waiting, entry);
	json_decref(entry);
}

void timeline_add(struct timeline *t, int64_t at_ms, const char *event, const char *by,
		  const char *detail)
{
	json_t *entry = make(at_ms, event);

	set_text(entry, "by", by);
	set_text(entry, "detail", detail);
	add(t, entry);
}

static json_t *nodes_of_last(const struct timeline *t, const char *event)
{
	size_t n = json_array_size(t->waiting);
	json_t *last = n ? json_array_get(t->waiting, n - 1) : NULL;
	const char *is = json_string_value(json_object_get(last, "event"));

	return is && str_eq(str_from(is), str_from(event)) ? json_object_get(last, "nodes") : NULL;
}

static void add_once(json_t *nodes, const char *node)
{
	const json_t *one;
	size_t i;

	json_array_foreach(nodes, i, one)
	{
		if (str_eq(str_from(json_string_value(one)), str_from(node)))
			return;
	}
	if (json_array_size(nodes) < TIMELINE_NODES_MAX)
		(void)json_array_append_new(nodes, json_string(node));
}

void timeline_add_node(struct timeline *t, int64_t at_ms, const char *event, const char *node)
{
	json_t *nodes = nodes_of_last(t, event), *entry;

	if (nodes) {
		add_once(nodes, node);
		return;
	}
	entry = make(at_ms, event);
	nodes = json_array();
	add_once(nodes, node);
	if (entry)
		(void)json_object_set(entry, "nodes", nodes);
	json_decref(nodes);
	add(t, entry);
}

json_t *timeline_send(struct timeline *t)
{
	if (!t->sent)
		t->sent = json_array();
	if (t->sent && t->waiting && json_array_extend(t->sent, t->waiting) == 0) {
		json_decref(t->waiting);
		t->waiting = NULL;
	}
	return json_incref(t->sent);
}

void timeline_stored(struct timeline *t)
{
	json_decref(t->sent);
	t->sent = NULL;
}

void timeline_deinit(struct timeline *t)
{
	timeline_stored(t);
	json_decref(t->waiting);
	t->waiting = NULL;
}
