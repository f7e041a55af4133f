/* Entities that workers do not look up by themselves yet, as they came: by kind and id. Readers and
 * writer as in vmap.h. */
#ifndef CARDEA_TABLES_ENTITIES_H
#define CARDEA_TABLES_ENTITIES_H

#include "data-plane/tables/vmap.h"

enum { ENTITY_ID_SIZE = 16 };

enum entities_kind {
	ENTITIES_SERVICE,
	ENTITIES_UPSTREAM,
	ENTITIES_TARGET,
	ENTITIES_CONSUMER,
	ENTITIES_PLUGIN,
	ENTITIES_CA_CERTIFICATE,
	ENTITIES_KINDS,
};

/* One version of an entity. */
struct entity_bytes {
	struct version version;
	size_t len;
	char bytes[]; /* the Change message */
};

struct entities {
	struct vmap kinds[ENTITIES_KINDS]; /* private; counts may be read */
};

/* Empty. */
int entities_init(struct entities *t, struct err *e) must_check;
/* No reader may be left. Bytes are cleansed: configuration of plugins may hold secrets. */
void entities_deinit(struct entities *t);

/* NULL: no such entity. Lives until rcu_leave. */
const struct entity_bytes *entities_find(const struct entities *t, uint64_t generation,
					 enum entities_kind kind,
					 const unsigned char id[ENTITY_ID_SIZE]);

/* --- writer --- */

/* Copies. The same bytes as the current version's change nothing. */
int entities_put(struct entities *t, struct vmap_txn *x, enum entities_kind kind,
		 const unsigned char id[ENTITY_ID_SIZE], struct str bytes,
		 struct err *e) must_check;
/* What is not there is fine. */
int entities_remove(struct entities *t, struct vmap_txn *x, enum entities_kind kind,
		    const unsigned char id[ENTITY_ID_SIZE], struct err *e) must_check;
/* Everything that x did not touch goes. */
int entities_sweep(struct entities *t, struct vmap_txn *x, struct err *e) must_check;

#endif
