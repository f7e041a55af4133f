/* Field tables: what an entity's fields are, and everything that follows from it (defaults, checks,
 * coercion, merging). Entities are json_t objects shaped as Kong's API shows them. Pure. Thread:
 * any. */
#ifndef CARDEA_MODEL_FIELD_H
#define CARDEA_MODEL_FIELD_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/core/err.h"
#include "common/core/str.h"

struct entity;

enum field_type {
	FIELD_STRING,
	FIELD_INTEGER,
	FIELD_NUMBER,
	FIELD_BOOLEAN,
	FIELD_UUID,
	FIELD_TIMESTAMP, /* seconds in JSON, timestamptz in SQL */
	FIELD_FOREIGN,	 /* {"id": "..."} in JSON, uuid column in SQL */
	FIELD_SET,	 /* of elements; de-duplicated, order kept */
	FIELD_ARRAY,
	FIELD_MAP,
	FIELD_RECORD,
};

enum field_flag {
	FIELD_REQUIRED = 1 << 0,
	FIELD_UNIQUE = 1 << 1,
	FIELD_AUTO = 1 << 2,   /* id and time stamps: made when absent */
	FIELD_SECRET = 1 << 3, /* sealed in the database, null without the right to read keys */
	FIELD_TRANSIENT =
		1 << 4, /* a shorthand: accepted and shown, not a column (certificates.snis), and
			 * not stored in a record's either (config.cert of the ssl plugin) */
	FIELD_CASELESS = 1 << 5,   /* unique and looked up without regard to ASCII case */
	FIELD_WRITE_ONLY = 1 << 6, /* a TRANSIENT that is never shown (services.url) */
	FIELD_EMPTY = 1 << 8,	   /* STRING: may be empty */
	FIELD_PRECISE = 1 << 7,	   /* TIMESTAMP: seconds with milliseconds, as a float */
};

/* Bytes of a UNIQUE text: an index of PostgreSQL ends at 2,704 of them. */
enum { FIELD_UNIQUE_MAX = 1024 };

/* Looks at a value whose type is right: 0, or -1 with the violation's text in e. */
typedef int (*field_check)(const json_t *value, struct err *e);

struct field {
	const char *name;
	enum field_type type;
	unsigned flags;
	const char *fallback;	      /* JSON text of the default; NULL: none */
	field_check check;	      /* after the type is right */
	const char *reference;	      /* FOREIGN: entity name */
	const struct field *elements; /* SET, ARRAY: one; MAP: {keys, values} */
	const struct field *fields;   /* RECORD */
	size_t field_count;
	/* RECORD whose fields follow from its siblings (plugins.config from the name): the field to
	 * use in place of this one for `owner`, which may be NULL; NULL: not known. */
	const struct field *(*variant)(const json_t *owner);
	const char *const *one_of; /* NULL-terminated */
	long long min, max;	   /* INTEGER, NUMBER when not both 0 */
	size_t len_min; /* STRING: 0 means 1 (empty strings are refused); SET, ARRAY: elements */
};

/* Collected violations of one entity, as Kong's code 2 answers show them. So many texts are kept:
 * a body of millions of wrong values must not become an answer of gigabytes. */
enum { VIOLATIONS_MAX = 1000 };
struct violations {
	json_t *fields; /* tree; NULL until the first */
	json_t *entity; /* array of entity-level texts; NULL until the first */
	size_t count;	/* read: texts that were given, also those that were not kept */
	bool updating;	/* of a PATCH, which some texts say */
	bool no_memory;
};
void violations_init(struct violations *v);
void violations_deinit(struct violations *v);
bool violations_any(const struct violations *v);
/* path: "cert" or "config.a.b" or "snis.2" (1-based); first text for a path wins. */
void violations_add(struct violations *v, const char *path, const char *fmt, ...) printf_like(3, 4);
void violations_add_entity(struct violations *v, const char *fmt, ...) printf_like(2, 3);
/* {"code":2,"name":"schema violation","message":"2 schema violations (a: ...; b:
 * ...)","fields":{...}}; a new reference. */
json_t *violations_body(const struct violations *v);

#endif
