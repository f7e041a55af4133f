#include "data-plane/tables/live_map.h"

#include <stdlib.h>

#include "data-plane/tables/rcu.h"

/* The touched entry of one change, and what left the map. */
struct live_batch {
	struct rcu_head rcu;
	struct live_batch *next;
	struct vmap_txn txn;
	uint64_t generation;
	struct vmap_entry *dead;
	atomic_bool passed; /* set by liburcu's thread */
};

int live_map_init(struct live_map *m, void (*free_value)(struct version *v, void *arg), void *arg,
		  struct err *e)
{
	if (vmap_init(&m->map, free_value, arg, e) < 0)
		return -1;
	m->batches = NULL;
	m->batches_end = &m->batches;
	atomic_init(&m->generation, 1);
	return 0;
}

void live_map_deinit(struct live_map *m)
{
	if (!m->map.table)
		return;
	do {
		rcu_barrier();
	} while (live_map_reap(m));
	vmap_deinit(&m->map);
}

const struct version *live_map_get(const struct live_map *m, struct str key)
{
	rcu_enter();
	return vmap_get(&m->map, key, atomic_load_explicit(&m->generation, memory_order_acquire));
}

static void grace_passed(struct rcu_head *head)
{
	struct live_batch *b = container_of(head, struct live_batch, rcu);

	rcu_tsan_acquire(head);
	atomic_store_explicit(&b->passed, true, memory_order_release);
}

static void batch_wait(struct live_map *m, struct live_batch *b)
{
	bool was_online = rcu_read_ongoing();

	*m->batches_end = b;
	m->batches_end = &b->next;
	rcu_enter(); /* call_rcu asks for it */
	rcu_tsan_release(&b->rcu);
	call_rcu(&b->rcu, grace_passed);
	if (!was_online)
		rcu_leave();
}

/* value NULL: the key goes. */
static int change(struct live_map *m, struct str key, struct version *value, struct err *e)
{
	uint64_t next = atomic_load_explicit(&m->generation, memory_order_relaxed) + 1;
	struct live_batch *b = calloc(1, sizeof(*b));
	int rc;

	live_map_reap(m);
	if (!b) {
		if (value)
			m->map.free_value(value, m->map.arg);
		return err_memory(e, "changing a live map");
	}
	rc = value ? vmap_put(&b->txn, &m->map, key, value, e)
		   : vmap_remove(&b->txn, &m->map, key, e);
	if (rc < 0)
		vmap_abort(&b->txn);
	if (b->txn.count == 0) {
		vmap_txn_deinit(&b->txn);
		free(b);
		return rc;
	}
	if (rc == 0) {
		vmap_commit(&b->txn, next);
		atomic_store_explicit(&m->generation, next, memory_order_release);
	}
	b->generation = atomic_load_explicit(&m->generation, memory_order_relaxed);
	batch_wait(m, b);
	return rc;
}

int live_map_put(struct live_map *m, struct str key, struct version *value, struct err *e)
{
	return change(m, key, value, e);
}

int live_map_remove(struct live_map *m, struct str key, struct err *e)
{
	return change(m, key, NULL, e);
}

const struct version *live_map_current(const struct live_map *m, struct str key)
{
	struct vmap_entry *e = vmap_find(&m->map, key);
	struct version *v = e ? vmap_current(e) : NULL;

	return v && !v->absent ? v : NULL;
}

bool live_map_reap(struct live_map *m)
{
	while (m->batches && atomic_load_explicit(&m->batches->passed, memory_order_acquire)) {
		struct live_batch *b = m->batches;

		rcu_tsan_grace_passed();
		m->batches = b->next;
		if (m->batches_end == &b->next)
			m->batches_end = &m->batches;
		while (b->dead) {
			struct vmap_entry *e = b->dead;

			b->dead = vmap_dead_next(e);
			vmap_entry_free(e);
		}
		vmap_reap(&b->txn, b->generation, &b->dead);
		vmap_txn_deinit(&b->txn);
		atomic_store(&b->passed, false);
		b->next = NULL;
		if (b->dead)
			batch_wait(m, b);
		else
			free(b);
	}
	return m->batches != NULL;
}
