/* A map from bytes to versioned values: what many threads read while one thread writes.
 *
 *     entry (key) ── head ─▶ version since=7 ── prev ─▶ version since=3 ── prev ─▶ (freed)
 *
 * Versions are counted in generations: each committed transaction is one. A reader takes the
 * generation once and looks everything up in it, so that it sees all of a transaction or nothing.
 * Absence is a version too. Older versions are freed a grace period after the generation that
 * replaced them.
 *
 * Readers: any thread between rcu_enter and rcu_leave. Writer: one thread, registered with RCU.
 */
#ifndef CARDEA_TABLES_VMAP_H
#define CARDEA_TABLES_VMAP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <urcu-qsbr.h>
#include <urcu/rculfhash.h>

#include "common/core/err.h"
#include "common/core/str.h"

enum { VMAP_KEY_MAX = 4352 };

/* First member of every value. */
struct version {
	uint64_t since;	      /* generation; set by the commit */
	struct version *prev; /* private */
	bool absent;	      /* set: the key has no value from this generation on */
};

/* What readers may see of an entry is node, head and key; the rest is the writer's. */
struct vmap_entry {
	struct cds_lfht_node node;
	_Atomic(struct version *) head;
	struct version *pending; /* staged by the open transaction */
	uint32_t uses;		 /* of this entry by others, as its table counts them */
	int32_t uses_change;	 /* by the open transaction */
	uint16_t lists; /* transactions, open or waiting for their grace period, that list it */
	bool touched;	/* the open one does */
	uint16_t key_len;
	char key[];
};

struct vmap {
	struct cds_lfht *table;	 /* private */
	uint64_t seed;		 /* private */
	size_t entries, buckets; /* private: the writer's */
	uint64_t changed;	 /* read by the writer: the newest generation with a change of it */
	/* Frees a value (never an absent one). Thread: the writer. */
	void (*free_value)(struct version *v, void *arg);
	void *arg;
	atomic_size_t count; /* read: keys with a value in the newest generation */
};

/* Empty. free_value is called by the writer for each value that no reader can see any more. */
int vmap_init(struct vmap *m, void (*free_value)(struct version *v, void *arg), void *arg,
	      struct err *e) must_check;
/* No reader may be left. Frees all values. */
void vmap_deinit(struct vmap *m);

/* The value of key in a generation that the reader took, or NULL. Lives until rcu_leave. */
const struct version *vmap_get(const struct vmap *m, struct str key, uint64_t generation);
/* Calls fn for each value of a generation until it returns false. */
void vmap_each(const struct vmap *m, uint64_t generation,
	       bool (*fn)(struct str key, const struct version *v, void *arg), void *arg);

/* --- writer --- */

/* The entry, or NULL. */
struct vmap_entry *vmap_find(const struct vmap *m, struct str key);
/* What the entry will hold when the open transaction commits; NULL: nothing. e may be NULL. */
struct version *vmap_staged(const struct vmap_entry *e);
/* What it held before the open transaction. */
struct version *vmap_current(const struct vmap_entry *e);

/* One open transaction over any number of maps. */
struct vmap_touch {
	struct vmap *map;
	struct vmap_entry *entry;
};
struct vmap_txn {
	struct vmap_touch *touched; /* read */
	size_t count;		    /* read */
	size_t cap;		    /* private */
};
/* Stages value (owned by the transaction from now on, also after an error) under key. A value that
 * the same transaction staged before is freed. */
int vmap_put(struct vmap_txn *x, struct vmap *m, struct str key, struct version *value,
	     struct err *e) must_check;
/* Stages absence; a key that is absent already is left alone. */
int vmap_remove(struct vmap_txn *x, struct vmap *m, struct str key, struct err *e) must_check;
/* Marks an entry as part of the transaction without changing it (a snapshot keeps it); makes the
 * entry when it is new. */
int vmap_touch(struct vmap_txn *x, struct vmap *m, struct str key, struct vmap_entry **out,
	       struct err *e) must_check;
/* Stages absence for every live key that the transaction has not touched. */
int vmap_sweep(struct vmap_txn *x, struct vmap *m, struct err *e) must_check;
/* Publishes what was staged under `generation`; entries and their order stay in the transaction
 * for vmap_reap. Cannot fail. */
void vmap_commit(struct vmap_txn *x, uint64_t generation);
/* Frees what was staged; the maps are as before. */
void vmap_abort(struct vmap_txn *x);
/* Frees what generation replaced. The caller knows that a grace period has passed since it was
 * published. Entries that hold nothing leave their map and are appended to *dead. */
void vmap_reap(struct vmap_txn *x, uint64_t generation, struct vmap_entry **dead);
/* The next of a list made by vmap_reap. */
struct vmap_entry *vmap_dead_next(struct vmap_entry *e);
/* Frees an entry that left its map a grace period ago. */
void vmap_entry_free(struct vmap_entry *e);
/* Frees the list, not what it names. */
void vmap_txn_deinit(struct vmap_txn *x);

#endif
