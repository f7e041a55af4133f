/* One question to the database about a kind of entity: which rows have one of these ids, or one of
 * these unique values. Pure. Thread: any, one at a time. */
#ifndef CARDEA_BULK_LOOKUP_H
#define CARDEA_BULK_LOOKUP_H

#include <jansson.h>
#include <stdbool.h>

#include "common/core/err.h"
#include "common/core/str.h"
#include "control-plane/model/entity.h"

enum { LOOKUP_KINDS_MAX = 32, LOOKUP_FIELDS_MAX = 8 };

struct lookup {
	const struct entity *entity;
	/* What tells rows of the kind apart, and what they refer to. The first asked_count are
	 * asked for. */
	const struct field *fields[LOOKUP_FIELDS_MAX];
	size_t field_count, asked_count;
	struct buf ids;			      /* array literals; empty: nothing was added */
	struct buf values[LOOKUP_FIELDS_MAX]; /* by field */
	struct buf sql;
	struct buf answer; /* [[id, field, ...], ...] as text */
	bool wanted;	   /* something was added */
};

/* Whether rows of t are told apart by f as well as by their id. */
bool lookup_is_key(const struct field *f);
void lookup_init(struct lookup *l, const struct entity *t);
void lookup_deinit(struct lookup *l);
/* Empties it for another question. */
void lookup_clear(struct lookup *l);
int lookup_add_id(struct lookup *l, struct str id, struct err *e) must_check;
/* value: in lower case where case does not count. f: one that is asked for; others are skipped. */
int lookup_add(struct lookup *l, const struct field *f, struct str value, struct err *e) must_check;
/* Ends the question: l->sql with asked_count + 1 parameters, in params (LOOKUP_FIELDS_MAX + 1). */
int lookup_finish(struct lookup *l, struct err *e) must_check;
void lookup_params(const struct lookup *l, const char **params, size_t *n);

#endif
