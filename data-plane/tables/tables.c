#include "data-plane/tables/tables.h"

#include <stdlib.h>
#include <string.h>

/* What waits for a grace period: the touched entries of one transaction, and entries that left
 * their maps. */
struct tables_batch {
	struct rcu_head rcu;
	struct tables_batch *next;
	struct vmap_txn txn;
	uint64_t generation;
	struct vmap_entry *dead;
	atomic_bool passed; /* set by liburcu's thread */
};

int tables_create(struct tables **out, const struct plugin_kind *const *plugin_kinds, struct err *e)
{
	struct tables *t = calloc(1, sizeof(*t));

	if (!t)
		return err_memory(e, "making the tables");
	t->batches_end = &t->batches;
	atomic_init(&t->generation, 1);
	rcu_start();
	if (certs_init(&t->certs, e) != 0)
		goto no_certs;
	if (challenges_init(&t->challenges, e) != 0)
		goto no_challenges;
	if (tickets_init(&t->tickets, e) != 0)
		goto no_tickets;
	if (routes_init(&t->routes, e) != 0)
		goto no_routes;
	if (entities_init(&t->entities, plugin_kinds, e) != 0)
		goto no_entities;
	if (handshakes_init(&t->handshakes, e) != 0)
		goto no_handshakes;
	withheld_init(&t->withheld);
	*out = t;
	return 0;
no_handshakes:
	entities_deinit(&t->entities);
no_entities:
	routes_deinit(&t->routes);
no_routes:
	tickets_deinit(&t->tickets);
no_tickets:
	challenges_deinit(&t->challenges);
no_challenges:
	certs_deinit(&t->certs);
no_certs:
	rcu_stop();
	free(t);
	return -1;
}

void tables_free(struct tables *t)
{
	if (!t)
		return;
	tables_abort(t);
	do {
		rcu_barrier();
	} while (tables_reap(t));
	handshakes_deinit(&t->handshakes);
	entities_deinit(&t->entities);
	routes_deinit(&t->routes);
	tickets_deinit(&t->tickets);
	challenges_deinit(&t->challenges);
	certs_deinit(&t->certs);
	vmap_txn_deinit(&t->txn);
	withheld_deinit(&t->withheld);
	rcu_stop();
	free(t);
}

static void grace_passed(struct rcu_head *head)
{
	struct tables_batch *b = container_of(head, struct tables_batch, rcu);

	rcu_tsan_acquire(head);
	atomic_store_explicit(&b->passed, true, memory_order_release);
}

static void batch_wait(struct tables *t, struct tables_batch *b)
{
	bool was_online = rcu_read_ongoing();

	*t->batches_end = b;
	t->batches_end = &b->next;
	rcu_enter(); /* call_rcu asks for it */
	rcu_tsan_release(&b->rcu);
	call_rcu(&b->rcu, grace_passed);
	if (!was_online)
		rcu_leave();
}

/* Hands the transaction's entries over to a batch. */
static void txn_retire(struct tables *t, struct tables_batch *b)
{
	b->txn = t->txn;
	b->generation = atomic_load_explicit(&t->generation, memory_order_relaxed);
	t->txn = (struct vmap_txn){0};
	batch_wait(t, b);
}

void tables_begin(struct tables *t, bool replacing)
{
	tables_abort(t);
	tables_reap(t);
	t->replacing = replacing;
	withheld_begin(&t->withheld, replacing);
}

static_assert(TABLES_SERVICE + (int)ENTITIES_KINDS == TABLES_KINDS, "both know the same kinds");

int tables_keep(struct tables *t, enum tables_kind kind, const unsigned char id[16], struct err *e)
{
	struct vmap *const maps[] = {
		[TABLES_CERTIFICATE] = &t->certs.certs,	 [TABLES_SNI] = &t->certs.snis,
		[TABLES_CHALLENGE] = &t->challenges.ids, [TABLES_TICKET] = &t->tickets.secrets,
		[TABLES_ROUTE] = &t->routes.routes,
	};
	struct vmap *map =
		kind < TABLES_SERVICE ? maps[kind] : &t->entities.kinds[kind - TABLES_SERVICE];
	struct vmap_entry *entry;

	return vmap_touch(&t->txn, map, (struct str){(const char *)id, 16}, &entry, e);
}

static int resolve(struct tables *t, struct tables_culprit *c, struct err *e)
{
	struct vmap_txn *x = &t->txn;
	enum entities_kind kind;
	bool is_sni = false;

	if (t->replacing &&
	    (certs_sweep(&t->certs, x, e) != 0 || challenges_sweep(&t->challenges, x, e) != 0 ||
	     tickets_sweep(&t->tickets, x, e) != 0 || routes_sweep(&t->routes, x, e) != 0 ||
	     entities_sweep(&t->entities, x, e) != 0))
		return -1;
	if (certs_resolve(&t->certs, x, &t->withheld, &is_sni, c->id, e) != 0) {
		c->kind = is_sni ? TABLES_SNI : TABLES_CERTIFICATE;
		return -1;
	}
	if (challenges_resolve(&t->challenges, x, c->id, e) != 0) {
		c->kind = TABLES_CHALLENGE;
		return -1;
	}
	if (tickets_resolve(&t->tickets, x, c->id, e) != 0) {
		c->kind = TABLES_TICKET;
		return -1;
	}
	if (routes_resolve(&t->routes, x, c->id, e) != 0) {
		c->kind = TABLES_ROUTE;
		return -1;
	}
	if (entities_resolve(&t->entities, x, &kind, c->id, e) != 0) {
		if (kind < ENTITIES_KINDS)
			c->kind = (enum tables_kind)(TABLES_SERVICE + (int)kind);
		return -1;
	}
	return handshakes_resolve(&t->handshakes, x, &t->routes, &t->entities, e);
}

int tables_commit(struct tables *t, struct tables_culprit *culprit, struct err *e)
{
	uint64_t next = atomic_load_explicit(&t->generation, memory_order_relaxed) + 1;
	struct tables_batch *b = calloc(1, sizeof(*b));

	culprit->kind = TABLES_NONE;
	if (!b)
		return err_memory(e, "committing a revision");
	if (resolve(t, culprit, e) != 0) {
		free(b);
		return -1;
	}
	vmap_commit(&t->txn, next);
	withheld_commit(&t->withheld);
	atomic_store_explicit(&t->generation, next, memory_order_release);
	txn_retire(t, b);
	t->replacing = false;
	return 0;
}

void tables_abort(struct tables *t)
{
	struct tables_batch *b;

	t->replacing = false;
	withheld_abort(&t->withheld);
	if (t->txn.count == 0)
		return;
	vmap_abort(&t->txn);
	b = calloc(1, sizeof(*b));
	if (b)
		txn_retire(t, b);
	else /* entries that it made stay in their maps, empty; a later change finds them */
		t->txn.count = 0;
}

bool tables_reap(struct tables *t)
{
	while (t->batches && atomic_load_explicit(&t->batches->passed, memory_order_acquire)) {
		struct tables_batch *b = t->batches;

		rcu_tsan_grace_passed();
		t->batches = b->next;
		if (t->batches_end == &b->next)
			t->batches_end = &t->batches;
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
			batch_wait(t, b);
		else
			free(b);
	}
	return t->batches != NULL;
}
