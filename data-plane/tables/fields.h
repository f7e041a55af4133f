/* The fields of an entity that came over the stream (Entity in proto/README.md), read by name. What
 * is absent is null; what has another type than was asked for reads as absent. Thread: any.
 */
#ifndef CARDEA_TABLES_FIELDS_H
#define CARDEA_TABLES_FIELDS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/core/arena.h"
#include "common/core/err.h"
#include "common/core/str.h"

/* Of an Entity, or of a record within it. Slices and records live as long as the message. */
struct fields;
struct Cardea__V1__Record;

enum { FIELDS_DEPTH_MAX = 16, FIELDS_ID_SIZE = 16 };

/* NULL (a message without fields) is as good as an empty record, here and below. */
const struct fields *fields_of(const struct Cardea__V1__Record *record);
/* ERR_CONFLICT: a field without a name or value, an id that is no UUID's 16 bytes, or nesting
 * deeper than FIELDS_DEPTH_MAX. */
int fields_check(const struct fields *f, struct err *e) must_check;

/* STR_NONE: absent. */
struct str fields_text(const struct fields *f, const char *name);
int64_t fields_integer(const struct fields *f, const char *name, int64_t absent);
/* An integer is a number, too. */
double fields_number(const struct fields *f, const char *name, double absent);
bool fields_flag(const struct fields *f, const char *name, bool absent);
/* FIELDS_ID_SIZE bytes; NULL: absent. */
const unsigned char *fields_id(const struct fields *f, const char *name);
/* The texts of a list, in the arena; elements that are none are left out. */
struct fields_texts {
	const struct str *items;
	size_t count;
};
int fields_texts(const struct fields *f, const char *name, struct arena *a,
		 struct fields_texts *out, struct err *e) must_check;
/* The integers of a list, as fields_texts has the texts. */
struct fields_integers {
	const int64_t *items;
	size_t count;
};
int fields_integers(const struct fields *f, const char *name, struct arena *a,
		    struct fields_integers *out, struct err *e) must_check;
/* The ids of a list, one behind the other in the arena; *out is NULL when there are none. */
int fields_ids(const struct fields *f, const char *name, struct arena *a, const unsigned char **out,
	       size_t *count, struct err *e) must_check;
/* Whether there is a field of this name, of whatever type. */
bool fields_has(const struct fields *f, const char *name);
/* A record or map; NULL: absent. */
const struct fields *fields_record(const struct fields *f, const char *name);
/* The i-th element of a list of records; NULL: beyond the end, or no record. */
const struct fields *fields_item(const struct fields *f, const char *name, size_t i);
/* How many fields there are, and the name of the i-th. */
size_t fields_count(const struct fields *f);
const char *fields_name(const struct fields *f, size_t i);

#endif
