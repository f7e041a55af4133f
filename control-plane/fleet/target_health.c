#include "control-plane/fleet/target_health.h"

#include <stdlib.h>

/* Of one node. */
struct node_entries {
	struct link entries;
	size_t count;
	bool begun; /* what was written of it is void, which is still to be written */
	char id[UUID_TEXT_SIZE];
};

struct target_entries {
	struct link entries;
	char id[UUID_TEXT_SIZE];
};

struct entry {
	struct link of_node, of_target;
	struct link changed; /* in target_health.changed, or on none */
	struct node_entries *node;
	struct target_entries *target;
	char address[TARGET_HEALTH_ADDRESS_SIZE];
	uint32_t weight;
	enum target_state verdict; /* TARGET_GONE: only until that was taken */
};

void target_health_init(struct target_health *t, bool shared)
{
	*t = (struct target_health){.shared = shared};
	map_init(&t->nodes);
	map_init(&t->targets);
	list_init(&t->changed);
}

static void drop(struct target_health *t, struct entry *x)
{
	struct target_entries *target = x->target;

	list_remove(&x->of_node);
	list_remove(&x->of_target);
	list_remove(&x->changed);
	x->node->count--;
	free(x);
	if (!list_empty(&target->entries))
		return;
	map_remove(&t->targets, str_from(target->id));
	free(target);
}

static void drop_all(struct target_health *t, struct node_entries *n)
{
	list_for_each_safe(it, &n->entries) drop(t, container_of(it, struct entry, of_node));
}

void target_health_forget(struct target_health *t, const char *node)
{
	struct node_entries *n = map_remove(&t->nodes, str_from(node));

	if (!n)
		return;
	drop_all(t, n);
	free(n);
}

void target_health_deinit(struct target_health *t)
{
	size_t pos = 0;
	struct str key;
	void *value;

	while (map_next(&t->nodes, &pos, &key, &value))
		target_health_forget(t, ((struct node_entries *)value)->id);
	map_deinit(&t->nodes);
	map_deinit(&t->targets);
}

static struct node_entries *find_node(struct target_health *t, const char *id)
{
	struct node_entries *n = map_get(&t->nodes, str_from(id));

	if (n)
		return n;
	n = calloc(1, sizeof(*n));
	if (!n || map_put(&t->nodes, str_from(id), n, NULL, NULL) < 0) {
		free(n);
		return NULL;
	}
	list_init(&n->entries);
	memcpy(n->id, id, strlen(id) + 1);
	return n;
}

static struct target_entries *find_target(struct target_health *t, const char *id)
{
	struct target_entries *x = map_get(&t->targets, str_from(id));

	if (x)
		return x;
	x = calloc(1, sizeof(*x));
	if (!x || map_put(&t->targets, str_from(id), x, NULL, NULL) < 0) {
		free(x);
		return NULL;
	}
	list_init(&x->entries);
	memcpy(x->id, id, sizeof(x->id));
	return x;
}

static struct entry *find_entry(const struct target_entries *t, const struct node_entries *n,
				const char *address)
{
	list_for_each(it, &t->entries)
	{
		struct entry *x = container_of(it, struct entry, of_target);

		if (x->node == n && strcmp(x->address, address) == 0)
			return x;
	}
	return NULL;
}

static void drop_target_if_empty(struct target_health *t, struct target_entries *x)
{
	if (!list_empty(&x->entries))
		return;
	map_remove(&t->targets, str_from(x->id));
	free(x);
}

int target_health_begin(struct target_health *t, const char *node, struct err *e)
{
	struct node_entries *n = find_node(t, node);

	if (!n)
		return err_memory(e, "the health of targets");
	drop_all(t, n);
	n->begun = t->shared;
	return 0;
}

static void note_change(struct target_health *t, struct entry *x)
{
	if (!t->shared)
		return;
	list_remove(&x->changed);
	list_push(&t->changed, &x->changed);
}

int target_health_report(struct target_health *t, const char *node, const struct target_report *r,
			 struct err *e)
{
	struct node_entries *n = find_node(t, node);
	struct target_entries *target = find_target(t, r->target);
	struct entry *x = n && target ? find_entry(target, n, r->address) : NULL;

	if (!n || !target)
		goto no_memory;
	if (r->verdict == TARGET_GONE && x && t->shared) {
		x->verdict = TARGET_GONE;
		note_change(t, x);
		return 0;
	}
	if (r->verdict == TARGET_GONE) {
		if (x)
			drop(t, x);
		else
			drop_target_if_empty(t, target);
		return 0;
	}
	if (!x && n->count >= TARGET_HEALTH_NODE_MAX) {
		t->refused++;
		drop_target_if_empty(t, target);
		return 0;
	}
	if (!x) {
		x = calloc(1, sizeof(*x));
		if (!x)
			goto no_memory;
		x->node = n;
		x->target = target;
		list_init(&x->changed);
		memcpy(x->address, r->address, sizeof(x->address));
		list_push(&n->entries, &x->of_node);
		list_push(&target->entries, &x->of_target);
		n->count++;
	}
	if (x->weight != r->weight || x->verdict != r->verdict)
		note_change(t, x);
	x->weight = r->weight;
	x->verdict = r->verdict;
	return 0;
no_memory:
	if (target)
		drop_target_if_empty(t, target);
	return err_memory(e, "the health of a target");
}

/* --- merging --- */

static const char *name_of(bool healthy)
{
	return healthy ? "HEALTHY" : "UNHEALTHY";
}

/* Whether one before it has the same address: that one stands for all. */
static bool is_repeated(const struct target_entries *t, const struct entry *x)
{
	list_for_each(it, &t->entries)
	{
		const struct entry *other = container_of(it, struct entry, of_target);

		if (other == x)
			return false;
		if (other->verdict != TARGET_GONE && strcmp(other->address, x->address) == 0)
			return true;
	}
	return false;
}

static bool is_healthy_anywhere(const struct target_entries *t, const char *address)
{
	list_for_each(it, &t->entries)
	{
		const struct entry *x = container_of(it, struct entry, of_target);

		if (x->verdict == TARGET_HEALTHY && strcmp(x->address, address) == 0)
			return true;
	}
	return false;
}

static bool is_told(const struct target_entries *t)
{
	list_for_each(it, &t->entries)
	{
		const struct entry *x = container_of(it, struct entry, of_target);

		if (x->verdict != TARGET_GONE)
			return true;
	}
	return false;
}

static json_t *address_json(const struct entry *x, bool healthy)
{
	const char *colon = strrchr(x->address, ':');
	size_t brackets = x->address[0] == '[', len;
	uint64_t port;

	if (!colon || str_u64(str_from(colon + 1), &port) < 0)
		return NULL;
	len = (size_t)(colon - x->address) - 2 * brackets;
	return json_pack("{s:s%, s:I, s:I, s:s}", "ip", x->address + brackets, len, "port",
			 (json_int_t)port, "weight", (json_int_t)x->weight, "health",
			 name_of(healthy));
}

json_t *target_health_json(const struct target_health *t, const char *target)
{
	const struct target_entries *all = map_get(&t->targets, str_from(target));
	json_int_t available = 0, unavailable = 0;
	json_t *addresses = all && is_told(all) ? json_array() : NULL;
	const char *health;

	if (!addresses)
		return NULL;
	list_for_each(it, &all->entries)
	{
		const struct entry *x = container_of(it, struct entry, of_target);
		bool healthy = is_healthy_anywhere(all, x->address);
		json_t *one;

		if (x->verdict == TARGET_DNS_ERROR || x->verdict == TARGET_GONE ||
		    is_repeated(all, x))
			continue;
		one = address_json(x, healthy);
		if (one)
			json_array_append_new(addresses, one);
		available += healthy ? x->weight : 0;
		unavailable += healthy ? 0 : x->weight;
	}
	health = json_array_size(addresses) == 0 ? "DNS_ERROR" : name_of(available > 0);
	return json_pack("{s:s, s:I, s:I, s:o}", "health", health, "available", available,
			 "unavailable", unavailable, "addresses", addresses);
}

/* --- what is to be written --- */

static struct node_entries *next_begun(const struct target_health *t, size_t *pos)
{
	struct str key;
	void *value;

	while (map_next(&t->nodes, pos, &key, &value)) {
		struct node_entries *n = value;

		if (n->begun)
			return n;
	}
	return NULL;
}

bool target_health_has_changes(const struct target_health *t)
{
	size_t pos = 0;

	return !list_empty(&t->changed) || next_begun(t, &pos);
}

static int take_row(struct target_health *t, struct entry *x, json_t *rows)
{
	json_t *row = json_pack("[s, s, s, I, i]", x->node->id, x->target->id, x->address,
				(json_int_t)x->weight, (int)x->verdict);

	if (!row || json_array_append_new(rows, row) < 0)
		return -1;
	if (x->verdict == TARGET_GONE)
		drop(t, x);
	return 0;
}

static int take_begun(const struct target_health *t, json_t *begun)
{
	const struct node_entries *n;
	size_t pos = 0;

	while ((n = next_begun(t, &pos)))
		if (json_array_append_new(begun, json_string(n->id)) < 0)
			return -1;
	return 0;
}

int target_health_take(struct target_health *t, size_t max, struct target_changes *out,
		       struct err *e)
{
	struct target_changes c = {json_array(), json_array()};
	int rc = c.rows && c.begun ? take_begun(t, c.begun) : -1;
	struct node_entries *n;
	struct link *l;
	size_t pos = 0;

	while (rc == 0 && json_array_size(c.rows) < max && (l = list_pop(&t->changed)))
		rc = take_row(t, container_of(l, struct entry, changed), c.rows);
	if (rc != 0) {
		json_decref(c.rows);
		json_decref(c.begun);
		target_health_untake(t);
		return err_memory(e, "the health of targets");
	}
	while ((n = next_begun(t, &pos)))
		n->begun = false;
	*out = c;
	return 0;
}

void target_health_untake(struct target_health *t)
{
	size_t pos = 0;
	struct str key;
	void *value;

	while (map_next(&t->nodes, &pos, &key, &value)) {
		struct node_entries *n = value;

		n->begun = t->shared;
		list_for_each(it, &n->entries)
			note_change(t, container_of(it, struct entry, of_node));
	}
}
