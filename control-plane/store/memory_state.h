/* All entities at one revision, in memory: what a store without a database holds. A state never
 * changes; a new one is made out of rows and the one before, and shares with it what is equal.
 * Private to control-plane/store/. Thread: any; a state is shared by counting references.
 */
#ifndef CARDEA_STORE_MEMORY_STATE_H
#define CARDEA_STORE_MEMORY_STATE_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/core/codec.h"
#include "common/core/err.h"
#include "common/core/map.h"
#include "control-plane/model/entity.h"

enum {
	MEMORY_KINDS_MAX = 32,
	MEMORY_REFERENCES_MAX = 8,
	/* Removals that are remembered for data planes that come back; older ones cost a snapshot.
	 */
	MEMORY_REMOVED_MAX = 100000,
};

struct memory_row {
	json_t *row; /* stored fields, and "version"; owned */
	const char *id;
	uint64_t revision; /* of its last change */
	uint64_t refused;  /* the revision of it that a data plane refused; 0: none */
	json_t *refusal;   /* what that said: {"node","reason","at"}; NULL: none. Owned */
};

/* Rows that refer to something by one field, by what that is, then in the order of lists. */
struct memory_index {
	const struct field *field;
	uint32_t *at; /* indexes of rows */
	size_t count;
};

struct memory_table {
	atomic_uint references; /* private */
	const struct entity *entity;
	struct memory_row *rows; /* by id */
	size_t count;
	uint32_t *by_revision; /* of pushed entities; else NULL */
	struct memory_index orders[MEMORY_REFERENCES_MAX];
	size_t order_count;
	struct map unique; /* private: "field:value" to index + 1 */
};

struct memory_removed {
	const struct entity *entity;
	char id[UUID_TEXT_SIZE];
	uint64_t revision;
};

struct memory_tag {
	const char *tag, *entity, *id;
};

struct memory_state {
	atomic_uint references; /* private */
	uint64_t revision, floor;
	struct memory_table *tables[MEMORY_KINDS_MAX]; /* by entity_at's index */
	struct memory_removed *removed;		       /* of pushed entities, by revision */
	size_t removed_count;
	struct memory_tag *tags; /* of all tables: by tag, kind, id */
	size_t tag_count;
};

/* New rows of one kind. A row without created_at of its own keeps that of the row before it. */
struct memory_input {
	const struct entity *entity;
	json_t *row; /* a reference is taken; "version" is set in it */
	bool dated;
};

/* Nothing at revision 0. */
int memory_state_empty(struct memory_state **out, struct err *e) must_check;
/* Which kinds are replaced. */
typedef bool (*memory_replaces)(const struct entity *t, const void *arg);
/* The kinds of entity_at for which replaces(t, arg) is true become inputs (sorted by kind, as
 * declarative items are); the others stay as in `before`. *out is `before` again when nothing
 * changed, else its revision is the next one. */
int memory_state_make(struct memory_state **out, struct memory_state *before,
		      memory_replaces replaces, const void *arg, const struct memory_input *inputs,
		      size_t n, struct err *e) must_check;
/* See store_refuse. *out is `before` again when nothing is to be noted. */
int memory_state_refuse(struct memory_state **out, struct memory_state *before,
			const json_t *refusals, struct err *e) must_check;
struct memory_state *memory_state_ref(struct memory_state *s);
void memory_state_unref(struct memory_state *s); /* NULL is fine */

/* NULL: t is no entity of the registry. */
const struct memory_table *memory_state_table(const struct memory_state *s, const struct entity *t);
/* NULL: there is none. id: any UUID text. */
const struct memory_row *memory_table_get(const struct memory_table *t, struct str id);
/* By a unique field. */
const struct memory_row *memory_table_find(const struct memory_table *t, const struct field *f,
					   struct str value);
/* The rows whose `field` refers to id: [*from, *to) of the order that is returned. */
const struct memory_index *memory_table_below(const struct memory_table *t, const char *field,
					      struct str id, size_t *from, size_t *to);
/* What a value of a unique field is found by in memory_table.unique; replaces what is in key. */
int memory_unique_key(struct buf *key, const struct field *f, struct str value) must_check;
/* As lists are ordered: by id, or the newest first. */
int memory_row_compare(const struct entity *t, const json_t *a, const json_t *b);

#endif
