/* The registry of entities and what is done to whole entities. One file and one table per entity
 * beside it. Adding an entity: its file with a table, a line in entity.c, a migration. Thread: any;
 * tables are constant. */
#ifndef CARDEA_MODEL_ENTITY_H
#define CARDEA_MODEL_ENTITY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "control-plane/model/field.h"

struct entity {
	const char *name;	    /* "certificates": table, path, kind in the feed */
	const char *singular;	    /* "certificate" */
	const char *endpoint_key;   /* field that addresses it besides id: "name"; NULL: none */
	const struct field *fields; /* the entity's own, without the common ones */
	size_t field_count;
	/* Checks over several fields, after each field is right. May be NULL. */
	void (*check)(const json_t *entity, struct violations *v);
	bool internal; /* no admin endpoints */
	bool has_tags;
};

extern const struct entity entity_certificates;	   /* model/certificate.c */
extern const struct entity entity_snis;		   /* model/sni.c */
extern const struct entity entity_acme_challenges; /* model/acme_challenge.c, internal */
extern const struct entity entity_ticket_secrets;  /* model/ticket_secret.c, internal */

/* NULL when there is none. */
const struct entity *entity_find(struct str name);
/* All, in an order in which references come before referrers. NULL at the end. */
const struct entity *entity_at(size_t i);
/* All fields with the common ones (id, created_at, updated_at, tags) first; NULL at the end. */
const struct field *entity_field_at(const struct entity *t, size_t i);
const struct field *entity_field(const struct entity *t, struct str name);

/* Form text to typed values, in place (kong-admin-api.md 1.3, coercion table). */
void entity_coerce_form(const struct entity *t, json_t *input);
/* A full, checked entity out of a request body: defaults, generated id and time stamps,
 * de-duplicated sets; unknown fields and bad values go to v. Returns a new reference, or NULL when
 * v has violations (or memory ran out: v->no_memory). */
json_t *entity_create(const struct entity *t, const json_t *input, int64_t now,
		      struct violations *v);
/* PATCH: old merged with patch (records deep; arrays, sets, maps whole; null stays null), checked.
 * As entity_create. */
json_t *entity_merge(const struct entity *t, const json_t *old, const json_t *patch, int64_t now,
		     struct violations *v);
/* What an answer shows: every field, null where absent; secret fields null unless show_secrets. New
 * reference. */
json_t *entity_show(const struct entity *t, const json_t *stored, bool show_secrets);

#endif
