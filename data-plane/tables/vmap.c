#include "data-plane/tables/vmap.h"

#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "data-plane/tables/rcu.h"

enum { FIRST_BUCKETS = 64, FIRST_TOUCHED = 16 };

#ifdef RCU_TSAN
char rcu_tsan_grace;

/* What liburcu itself does cannot be judged: its barriers are not seen. */
const char *__tsan_default_suppressions(void)
{
	return "called_from_lib:liburcu-qsbr.so\ncalled_from_lib:liburcu-cds.so\n"
	       "called_from_lib:liburcu-common.so\n";
}
#endif

/* Multiply and fold, keyed by a random seed: look-ups are by outside names, but only names of the
 * fleet are stored. */
static uint64_t hash_of(uint64_t seed, struct str key)
{
	const uint64_t k = 0x9e3779b97f4a7c15ULL;
	uint64_t h = seed ^ (key.len * k);
	uint64_t word;
	size_t at = 0;

	for (; key.len - at >= sizeof(word); at += sizeof(word)) {
		memcpy(&word, key.ptr + at, sizeof(word));
		h = (h ^ word) * 0xff51afd7ed558ccdULL;
		h ^= h >> 32;
	}
	if (at < key.len) {
		word = 0;
		for (size_t i = key.len; i > at; i--)
			word = word << 8 | (unsigned char)key.ptr[i - 1];
		h = (h ^ word) * 0xff51afd7ed558ccdULL;
		h ^= h >> 32;
	}
	h *= 0xc4ceb9fe1a85ec53ULL;
	return h ^ (h >> 29);
}

static struct vmap_entry *entry_of(struct cds_lfht_node *node)
{
	return container_of(node, struct vmap_entry, node);
}

static int match(struct cds_lfht_node *node, const void *key)
{
	const struct str *k = key;
	const struct vmap_entry *e = entry_of(node);

	rcu_tsan_acquire(node);
	return str_eq((struct str){e->key, e->key_len}, *k);
}

int vmap_init(struct vmap *m, void (*free_value)(struct version *v, void *arg), void *arg,
	      struct err *e)
{
	uint64_t seed;
	struct cds_lfht *table;

	if (RAND_bytes((unsigned char *)&seed, sizeof(seed)) != 1)
		return err_openssl(e, ERR_INTERNAL, "no random seed for a table");
	table = cds_lfht_new_flavor(FIRST_BUCKETS, FIRST_BUCKETS, 0, 0, &urcu_qsbr_flavor, NULL);
	if (!table)
		return err_memory(e, "making a table");
	*m = (struct vmap){.table = table,
			   .seed = seed,
			   .buckets = FIRST_BUCKETS,
			   .free_value = free_value,
			   .arg = arg};
	return 0;
}

static void version_free(const struct vmap *m, struct version *v)
{
	if (v->absent)
		free(v);
	else
		m->free_value(v, m->arg);
}

static void versions_free(const struct vmap *m, struct version *v)
{
	while (v) {
		struct version *prev = v->prev;

		version_free(m, v);
		v = prev;
	}
}

void vmap_deinit(struct vmap *m)
{
	struct cds_lfht_iter it;
	struct cds_lfht_node *node;
	bool was_online = rcu_read_ongoing();

	if (!m->table)
		return;
	rcu_enter();
	cds_lfht_first(m->table, &it);
	while ((node = cds_lfht_iter_get_node(&it))) {
		struct vmap_entry *e = entry_of(node);

		cds_lfht_next(m->table, &it);
		if (cds_lfht_del(m->table, node) == 0) {
			versions_free(m, atomic_load(&e->head));
			atomic_store(&e->head, NULL);
			vmap_entry_free(e);
		}
	}
	if (!was_online)
		rcu_leave();
	cds_lfht_destroy(m->table, NULL);
	m->table = NULL;
}

static struct vmap_entry *look_up(const struct vmap *m, struct str key)
{
	struct cds_lfht_iter it;
	struct cds_lfht_node *node;

	cds_lfht_lookup(m->table, hash_of(m->seed, key), match, &key, &it);
	node = cds_lfht_iter_get_node(&it);
	return node ? entry_of(node) : NULL;
}

static const struct version *version_at(const struct vmap_entry *e, uint64_t generation)
{
	const struct version *v = atomic_load_explicit(&e->head, memory_order_acquire);

	while (v && v->since > generation)
		v = v->prev;
	return v && !v->absent ? v : NULL;
}

const struct version *vmap_get(const struct vmap *m, struct str key, uint64_t generation)
{
	const struct vmap_entry *e = look_up(m, key);

	return e ? version_at(e, generation) : NULL;
}

void vmap_each(const struct vmap *m, uint64_t generation,
	       bool (*fn)(struct str key, const struct version *v, void *arg), void *arg)
{
	struct cds_lfht_iter it;
	struct cds_lfht_node *node;

	cds_lfht_first(m->table, &it);
	for (; (node = cds_lfht_iter_get_node(&it)); cds_lfht_next(m->table, &it)) {
		const struct vmap_entry *e = entry_of(node);
		const struct version *v;

		rcu_tsan_acquire(node);
		v = version_at(e, generation);
		if (v && !fn((struct str){e->key, e->key_len}, v, arg))
			return;
	}
}

struct vmap_entry *vmap_find(const struct vmap *m, struct str key)
{
	bool was_online = rcu_read_ongoing();
	struct vmap_entry *e;

	rcu_enter();
	e = look_up(m, key);
	if (!was_online)
		rcu_leave();
	return e; /* only the writer removes entries */
}

struct version *vmap_current(const struct vmap_entry *e)
{
	struct version *v = e ? atomic_load_explicit(&e->head, memory_order_relaxed) : NULL;

	return v && !v->absent ? v : NULL;
}

struct version *vmap_staged(const struct vmap_entry *e)
{
	if (!e || !e->pending)
		return vmap_current(e);
	return e->pending->absent ? NULL : e->pending;
}

static int touch(struct vmap_txn *x, struct vmap *m, struct vmap_entry *entry, struct err *e)
{
	if (entry->touched)
		return 0;
	if (x->count == x->cap) {
		size_t cap = x->cap ? x->cap * 2 : FIRST_TOUCHED;
		struct vmap_touch *more = realloc(x->touched, cap * sizeof(*more));

		if (!more)
			return err_memory(e, "staging a revision");
		x->touched = more;
		x->cap = cap;
	}
	x->touched[x->count++] = (struct vmap_touch){m, entry};
	entry->touched = true;
	entry->lists++;
	return 0;
}

/* The writer grows the table itself: liburcu's automatic growth, measured here with version 0.13,
 * sometimes does not begin at all, and look-ups then walk chains of thousands. */
static void grow(struct vmap *m)
{
	if (++m->entries <= m->buckets)
		return;
	m->buckets *= 2;
	cds_lfht_resize(m->table, m->buckets);
}

static struct vmap_entry *entry_add(struct vmap *m, struct str key, struct err *e)
{
	struct vmap_entry *entry;
	bool was_online = rcu_read_ongoing();

	if (key.len > VMAP_KEY_MAX) {
		err_set(e, ERR_LIMIT, "key of %zu bytes: at most %d", key.len, VMAP_KEY_MAX);
		return NULL;
	}
	entry = calloc(1, sizeof(*entry) + key.len);
	if (!entry) {
		err_memory(e, "adding to a table");
		return NULL;
	}
	entry->key_len = (uint16_t)key.len;
	memcpy(entry->key, key.ptr, key.len);
	cds_lfht_node_init(&entry->node);
	rcu_tsan_release(&entry->node);
	rcu_enter();
	cds_lfht_add(m->table, hash_of(m->seed, key), &entry->node);
	if (!was_online)
		rcu_leave();
	grow(m);
	return entry;
}

int vmap_touch(struct vmap_txn *x, struct vmap *m, struct str key, struct vmap_entry **out,
	       struct err *e)
{
	struct vmap_entry *entry = vmap_find(m, key);

	if (!entry)
		entry = entry_add(m, key, e);
	if (!entry || touch(x, m, entry, e) != 0)
		return -1;
	*out = entry;
	return 0;
}

int vmap_put(struct vmap_txn *x, struct vmap *m, struct str key, struct version *value,
	     struct err *e)
{
	struct vmap_entry *entry;

	if (vmap_touch(x, m, key, &entry, e) != 0) {
		version_free(m, value);
		return -1;
	}
	if (entry->pending)
		version_free(m, entry->pending);
	entry->pending = value;
	return 0;
}

static int stage_absent(struct vmap_txn *x, struct vmap *m, struct vmap_entry *entry, struct err *e)
{
	struct version *v = calloc(1, sizeof(*v));

	if (!v)
		return err_memory(e, "staging a removal");
	if (touch(x, m, entry, e) != 0) {
		free(v);
		return -1;
	}
	v->absent = true;
	if (entry->pending)
		version_free(m, entry->pending);
	entry->pending = v;
	return 0;
}

int vmap_remove(struct vmap_txn *x, struct vmap *m, struct str key, struct err *e)
{
	struct vmap_entry *entry = vmap_find(m, key);

	return vmap_staged(entry) ? stage_absent(x, m, entry, e) : 0;
}

int vmap_sweep(struct vmap_txn *x, struct vmap *m, struct err *e)
{
	struct cds_lfht_iter it;
	struct cds_lfht_node *node;
	bool was_online = rcu_read_ongoing();
	int rc = 0;

	rcu_enter();
	cds_lfht_first(m->table, &it);
	for (; rc == 0 && (node = cds_lfht_iter_get_node(&it)); cds_lfht_next(m->table, &it)) {
		struct vmap_entry *entry = entry_of(node);

		if (!entry->touched && vmap_current(entry))
			rc = stage_absent(x, m, entry, e);
	}
	if (!was_online)
		rcu_leave();
	return rc;
}

void vmap_commit(struct vmap_txn *x, uint64_t generation)
{
	for (size_t i = 0; i < x->count; i++) {
		struct vmap_entry *e = x->touched[i].entry;
		struct version *v = e->pending;

		e->touched = false;
		e->uses = (uint32_t)((int64_t)e->uses + e->uses_change);
		e->uses_change = 0;
		if (!v)
			continue;
		if (vmap_current(e))
			atomic_fetch_sub(&x->touched[i].map->count, 1);
		if (!v->absent)
			atomic_fetch_add(&x->touched[i].map->count, 1);
		x->touched[i].map->changed = generation;
		v->since = generation;
		v->prev = atomic_load_explicit(&e->head, memory_order_relaxed);
		e->pending = NULL;
		atomic_store_explicit(&e->head, v, memory_order_release);
	}
}

void vmap_abort(struct vmap_txn *x)
{
	for (size_t i = 0; i < x->count; i++) {
		struct vmap_entry *e = x->touched[i].entry;

		if (e->pending)
			version_free(x->touched[i].map, e->pending);
		e->pending = NULL;
		e->touched = false;
		e->uses_change = 0;
	}
}

/* Readers have taken `generation` or a later one, so that none goes past the newest version of it
 * or before: what stands behind that is free. */
static void entry_reap(struct vmap_touch *t, uint64_t generation, struct vmap_entry **dead)
{
	struct vmap_entry *e = t->entry;
	struct version *head = atomic_load_explicit(&e->head, memory_order_relaxed);
	struct version *v = head;

	while (v && v->since > generation)
		v = v->prev;
	if (v) {
		versions_free(t->map, v->prev);
		v->prev = NULL;
	}
	if (--e->lists > 0 || v != head || (head && !head->absent) || e->uses > 0)
		return;
	if (cds_lfht_del(t->map->table, &e->node) == 0) {
		t->map->entries--;
		/* pending links dead entries; its last reader may still be reading key and head. */
		e->pending = (struct version *)(void *)*dead;
		*dead = e;
	}
}

void vmap_reap(struct vmap_txn *x, uint64_t generation, struct vmap_entry **dead)
{
	bool was_online = rcu_read_ongoing();

	rcu_enter();
	for (size_t i = 0; i < x->count; i++)
		entry_reap(&x->touched[i], generation, dead);
	if (!was_online)
		rcu_leave();
}

struct vmap_entry *vmap_dead_next(struct vmap_entry *e)
{
	return (struct vmap_entry *)(void *)e->pending;
}

void vmap_entry_free(struct vmap_entry *e)
{
	struct version *head = atomic_load_explicit(&e->head, memory_order_relaxed);

	if (head && head->absent)
		free(head);
	free(e);
}

void vmap_txn_deinit(struct vmap_txn *x)
{
	free(x->touched);
	*x = (struct vmap_txn){0};
}
