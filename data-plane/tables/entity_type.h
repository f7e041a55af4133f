/* How a kind of entity is made of its fields: one row for each, in the kind's own file, and what
 * those files share. Thread: the writer of the tables. */
#ifndef CARDEA_TABLES_ENTITY_TYPE_H
#define CARDEA_TABLES_ENTITY_TYPE_H

#include "data-plane/tables/entities.h"
#include "data-plane/tables/fields.h"

struct entity_type {
	size_t size; /* of the kind's struct, whose first member is the entity */
	/* Everything that it points to goes into the entity's arena. ERR_INVALID: a field is not
	 * acceptable; drop is called then, too. */
	int (*make)(struct entity *en, const struct fields *f, const struct entities *t,
		    struct err *e);
	/* Frees what is not in the arena. May be NULL. */
	void (*drop)(struct entity *en);
	/* Once all of a revision is staged: whether it goes with the others (entity_staged).
	 * ERR_INVALID: the revision is refused. May be NULL. */
	int (*check)(const struct entity *en, const struct entities *t, struct err *e);
};

extern const struct entity_type service_entities, upstream_entities, target_entities,
	consumer_entities, plugin_entities, ca_certificate_entities, cert_credential_entities;

/* --- for make: each prefixes its errors with the field's name --- */

/* A copy; STR_NONE: absent or empty. ERR_INVALID: longer than ENTITY_TEXT_MAX. */
int entity_text(struct entity *en, const struct fields *f, const char *name, bool lower,
		struct str *out, struct err *e) must_check;
/* ERR_INVALID: not within min and max. */
int entity_integer(const struct fields *f, const char *name, int64_t absent, int64_t min,
		   int64_t max, int64_t *out, struct err *e) must_check;
/* A number of some unit, such as seconds. ERR_INVALID: not within 0 and max. */
int entity_number(const struct fields *f, const char *name, double absent, double max, double *out,
		  struct err *e) must_check;
/* The position of the text in names, which ends with NULL. ERR_INVALID: none of them. */
int entity_choice(const struct fields *f, const char *name, const char *const *names,
		  unsigned absent, unsigned *out, struct err *e) must_check;
/* A copy of an id; NULL: absent. */
int entity_id(struct entity *en, const struct fields *f, const char *name,
	      const unsigned char **out, struct err *e) must_check;
/* Copies the i-th field of a map of lists of texts; its name becomes lower case. */
int entity_values(struct entity *en, const struct fields *map, size_t i, struct entity_field *out,
		  struct err *e) must_check;
/* It is found under kind (one of the kind's own letters) and text from now on. At most
 * ENTITY_KEYS_MAX. */
int entity_add_key(struct entity *en, char kind, struct str text, struct err *e) must_check;

/* --- for check --- */

/* What there will be when the open transaction commits, or NULL. */
const struct entity *entity_staged(const struct entities *t, enum entities_kind kind,
				   const unsigned char id[ENTITY_ID_SIZE]);

/* --- for look-ups --- */

/* The entities that were given this key. */
const struct entity_list *entity_by_key(const struct entities *t, uint64_t generation,
					enum entities_kind kind, char key_kind, struct str text);
/* The first of them, or NULL. */
const struct entity *entity_first(const struct entities *t, uint64_t generation,
				  enum entities_kind kind, char key_kind, struct str text);

#endif
