/* Entities that came over the stream, each made into what workers read, with an index by keys.
 *
 *     kinds: kind, id   ─▶ struct entity (service, upstream, target, ...)      (readers)
 *     index: kind, key  ─▶ list of the entities that have this key             (readers)
 *
 * A kind says how an entity is made of its fields and which keys it is found under (a name, the id
 * of its parent, ...). A change touches its own keys and nothing else. Readers and writer as in
 * vmap.h. */
#ifndef CARDEA_TABLES_ENTITIES_H
#define CARDEA_TABLES_ENTITIES_H

#include "common/core/arena.h"
#include "data-plane/tables/vmap.h"

enum {
	ENTITY_ID_SIZE = 16,
	ENTITY_TEXT_MAX = 2048, /* one text of an entity, in bytes */
	ENTITY_KEYS_MAX = 2,
};

enum entities_kind {
	ENTITIES_SERVICE,
	ENTITIES_UPSTREAM,
	ENTITIES_TARGET,
	ENTITIES_CONSUMER,
	ENTITIES_PLUGIN,
	ENTITIES_CA_CERTIFICATE,
	ENTITIES_MTLS_CREDENTIAL,
	ENTITIES_HEADER_CREDENTIAL,
	ENTITIES_KINDS,
};

struct fields;
struct plugin_kind;

/* A name with values, as maps of headers have them. */
struct entity_field {
	struct str name; /* lower case */
	const struct str *values;
	size_t count;
};

/* First member of every kind's struct: one version of an entity. */
struct entity {
	struct version version;
	unsigned char id[ENTITY_ID_SIZE];
	struct arena memory;		  /* private: what the rest points to */
	struct str payload;		  /* the Change message: equal ones change nothing */
	struct str keys[ENTITY_KEYS_MAX]; /* private */
	size_t key_count;		  /* private */
	uint64_t leaving;		  /* private: the writer's, see entities_resolve */
};

#define entity_of(e, type) container_of((struct entity *)(uintptr_t)(e), type, entity)

struct entity_list {
	struct version version;
	size_t count;
	size_t cap, sorted;	      /* private: the writer's */
	const struct entity *items[]; /* in the order of their ids */
};

struct entities {
	struct vmap kinds[ENTITIES_KINDS];	       /* private; counts may be read */
	struct vmap index;			       /* private */
	const struct plugin_kind *const *plugin_kinds; /* ends with NULL; may be NULL */
	uint64_t passes;			       /* private: how often it was resolved */
};

/* Empty. plugin_kinds (may be NULL) outlives it. */
int entities_init(struct entities *t, const struct plugin_kind *const *plugin_kinds,
		  struct err *e) must_check;
/* No reader may be left. Memory is cleansed: configuration of plugins may hold secrets. */
void entities_deinit(struct entities *t);

/* NULL: no such entity. Lives until rcu_leave. */
const struct entity *entities_find(const struct entities *t, uint64_t generation,
				   enum entities_kind kind, const unsigned char id[ENTITY_ID_SIZE]);
/* The entities of a kind with this key; NULL: none. Lives until rcu_leave. */
const struct entity_list *entities_list(const struct entities *t, uint64_t generation,
					enum entities_kind kind, struct str key);

/* --- writer --- */

/* What entities_list will say when the open transaction commits. After entities_resolve. */
const struct entity_list *entities_list_staged(const struct entities *t, enum entities_kind kind,
					       struct str key);

/* Makes the entity of its fields and stages it. payload is copied; one equal to the current
 * version's changes nothing. ERR_INVALID: a field is not acceptable. */
int entities_put(struct entities *t, struct vmap_txn *x, enum entities_kind kind,
		 const unsigned char id[ENTITY_ID_SIZE], const struct fields *f, struct str payload,
		 struct err *e) must_check;
/* What is not there is fine. */
int entities_remove(struct entities *t, struct vmap_txn *x, enum entities_kind kind,
		    const unsigned char id[ENTITY_ID_SIZE], struct err *e) must_check;
/* Everything that x did not touch goes. */
int entities_sweep(struct entities *t, struct vmap_txn *x, struct err *e) must_check;
/* Derives the index from what was staged: once, before the commit. References are not followed:
 * what they name may be missing. On error *kind and culprit name the entity. */
int entities_resolve(struct entities *t, struct vmap_txn *x, enum entities_kind *kind,
		     unsigned char culprit[ENTITY_ID_SIZE], struct err *e) must_check;

#endif
