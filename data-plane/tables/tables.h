/* Everything that workers read, and the transaction in which the sync thread changes it: a whole
 * revision becomes visible at once (invariant 2).
 *
 *     sync thread: begin ─ put/remove* ─ commit ─▶ generation + 1 ─▶ (grace period) ─▶ reap
 *     worker:      tables_enter ─▶ generation ─▶ look-ups ... ─▶ rcu_leave at the end of the turn
 */
#ifndef CARDEA_TABLES_TABLES_H
#define CARDEA_TABLES_TABLES_H

#include <stdatomic.h>

#include "data-plane/tables/certs.h"
#include "data-plane/tables/challenges.h"
#include "data-plane/tables/entities.h"
#include "data-plane/tables/handshakes.h"
#include "data-plane/tables/rcu.h"
#include "data-plane/tables/routes.h"
#include "data-plane/tables/tickets.h"
#include "data-plane/tables/withheld.h"

struct tables_batch;

struct tables {
	struct certs certs;
	struct challenges challenges;
	struct tickets tickets;
	struct routes routes;
	struct entities entities;
	struct handshakes handshakes; /* derived */
	struct withheld withheld;     /* the writer's: add and remove within the transaction */
	_Atomic uint64_t generation;  /* private: see tables_enter */
	struct vmap_txn txn;	      /* read by apply: pass &t->txn to the tables' writers */
	bool replacing;		      /* private: a snapshot */
	struct tables_batch *batches; /* private: waiting for their grace period, oldest first */
	struct tables_batch **batches_end; /* private */
};

/* The calling thread is the writer from now on and is registered with RCU (rcu_start). plugin_kinds
 * is the list of plugins that this node has, with NULL at its end; it outlives the tables. NULL:
 * none. */
int tables_create(struct tables **out, const struct plugin_kind *const *plugin_kinds,
		  struct err *e) must_check;
/* No reader may be left. Thread: the writer. NULL is fine. */
void tables_free(struct tables *t);

/* Goes online and takes the newest generation: look everything that belongs together up in it.
 * Thread: any that is registered. */
static inline uint64_t tables_enter(const struct tables *t)
{
	rcu_enter();
	return atomic_load_explicit(&t->generation, memory_order_acquire);
}

/* Which entity stopped a commit. */
struct tables_culprit {
	enum tables_kind kind;
	unsigned char id[16];
};

/* A snapshot that says nothing of an entity keeps it: it is part of the open transaction as it is.
 */
int tables_keep(struct tables *t, enum tables_kind kind, const unsigned char id[16],
		struct err *e) must_check;
/* What is staged from here to commit: a delta, or the whole state when replacing. An open
 * transaction is aborted first. */
void tables_begin(struct tables *t, bool replacing);
/* All or nothing. On error nothing changed, the transaction is still open and *culprit names the
 * entity. */
int tables_commit(struct tables *t, struct tables_culprit *culprit, struct err *e) must_check;
/* Nothing changed. Harmless when nothing is open. */
void tables_abort(struct tables *t);
/* Frees what no reader can see any more; never waits. Call now and then. Returns whether something
 * still waits. */
bool tables_reap(struct tables *t);

#endif
