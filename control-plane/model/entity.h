/* The registry of entities and what is done to whole entities. One file and one table per entity
 * beside it. Adding an entity: its file with a table, a line in entity.c, a migration. Thread: any;
 * tables are constant. */
#ifndef CARDEA_MODEL_ENTITY_H
#define CARDEA_MODEL_ENTITY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "control-plane/model/field.h"

struct condition; /* condition.h */

struct entity {
	const char *name;	    /* "certificates": table, path, kind in the feed */
	const char *singular;	    /* "certificate" */
	const char *path;	    /* segment of the admin API's paths; NULL: name */
	const char *path_below;	    /* the same below a parent; NULL: path */
	const char *endpoint_key;   /* field that addresses it besides id: "name"; NULL: none */
	const struct field *fields; /* the entity's own, without the common ones */
	size_t field_count;
	/* Before the fields are looked at, in place: shorthands and computed values. old: what is
	 * patched; NULL on creation. With violations the fields are not looked at. May be NULL. */
	void (*prepare)(json_t *input, const json_t *old, struct violations *v);
	/* Checks over several fields, after each field is right. May be NULL. */
	void (*check)(const json_t *entity, struct violations *v);
	/* The rules of `check` that are tables, as GET /schemas/{entity} tells them. May be NULL,
	 * as may the lists of names, which end with NULL. */
	const struct condition *conditions;
	size_t condition_count;
	const char *const *at_least_one;
	const char *const *all_or_none;
	/* Fields that are unique together, sorted by name, NULL at the end; the constraint is named
	 * TABLE_composite_key. May be NULL. */
	const char *const *composite;
	bool internal; /* no admin endpoints */
	bool has_tags;
	bool pushed;	    /* data planes hold it: in the feed */
	bool below_parent;  /* has paths below what it refers to only (targets) */
	bool no_reverse;    /* no /{entity}/{key}/{reference} (snis) */
	bool newest_first;  /* lists begin with the newest; else by id */
	bool precise_times; /* time stamps with milliseconds */
};

extern const struct entity entity_certificates;			/* model/certificate.c */
extern const struct entity entity_snis;				/* model/sni.c */
extern const struct entity entity_ca_certificates;		/* model/ca_certificate.c */
extern const struct entity entity_services;			/* model/service.c */
extern const struct entity entity_routes;			/* model/route.c */
extern const struct entity entity_upstreams;			/* model/upstream.c */
extern const struct entity entity_targets;			/* model/target.c */
extern const struct entity entity_consumers;			/* model/consumer.c */
extern const struct entity entity_plugins;			/* model/plugin.c */
extern const struct entity entity_mtls_auth_credentials;	/* model/cert_auth_credential.c */
extern const struct entity entity_header_cert_auth_credentials; /* the same */
extern const struct entity entity_acme_challenges;  /* model/acme_challenge.c, internal */
extern const struct entity entity_acme_authorities; /* model/acme_authority.c */
extern const struct entity entity_ticket_secrets;   /* model/ticket_secret.c, internal */

/* NULL when there is none. */
const struct entity *entity_find(struct str name);
/* The segment of a path that stands for it, on top or below a parent. */
const char *entity_path(const struct entity *t, bool below);
/* The other way: NULL when there is none. Below a parent the one on top is taken too. */
const struct entity *entity_of_path(struct str segment, bool below);
/* All, in an order in which references come before referrers. NULL at the end. */
const struct entity *entity_at(size_t i);
/* All fields with the common ones (id, created_at, updated_at, tags) first; NULL at the end. */
const struct field *entity_field_at(const struct entity *t, size_t i);
const struct field *entity_field(const struct entity *t, struct str name);

/* The field of t that refers to `to`; NULL when none does. */
const struct field *entity_reference(const struct entity *t, const struct entity *to);

/* Form text to typed values, in place (kong-admin-api.md 1.3, coercion table). old: what is
 * patched, when it is known: it may say what a record's fields are. Twice does no harm. */
void entity_coerce_form(const struct entity *t, json_t *input, const json_t *old);
/* A full, checked entity out of a request body: defaults, generated id and time stamps,
 * de-duplicated sets; unknown fields and bad values go to v. Returns a new reference, or NULL when
 * v has violations (or memory ran out: v->no_memory). */
json_t *entity_create(const struct entity *t, const json_t *input, int64_t now_ms,
		      struct violations *v);
/* PATCH: old merged with patch (records deep; arrays, sets, maps whole; null stays null), checked.
 * As entity_create. */
json_t *entity_merge(const struct entity *t, const json_t *old, const json_t *patch, int64_t now_ms,
		     struct violations *v);
/* A violation for each value inside a record of row that is taken and not stored (the ssl plugin's
 * pair): for ways in that write rows as they are and nothing else, where it would be lost. */
void entity_refuse_transient(const struct entity *t, const json_t *row, struct violations *v);
/* What an answer shows: every field, null where absent; secret fields, also inside records, null
 * unless show_secrets. New reference. */
json_t *entity_show(const struct entity *t, const json_t *stored, bool show_secrets);

#endif
