/* Rules over several fields of an entity, as tables (kong-admin-api.md 1.10). Private to
 * control-plane/model/. Thread: any. */
#ifndef CARDEA_MODEL_CONDITION_H
#define CARDEA_MODEL_CONDITION_H

#include "control-plane/model/field.h"

enum condition_kind {
	CONDITION_REQUIRED, /* then: must be set */
	CONDITION_NULL,	    /* then: must not be set */
	CONDITION_ONE_OF,   /* then: one of `values` */
};

/* When the text field `when` is one of `is` (or, with `is_not`, none of them), `then` must be so.
 */
struct condition {
	const char *when;
	const char *const *is; /* NULL at the end */
	bool is_not;
	const char *then;
	enum condition_kind kind;
	const char *const *values; /* ONE_OF; NULL at the end */
};

/* Each rule that is broken adds a text for the entity and one for the field. */
void condition_check(const struct condition *c, size_t n, const json_t *entity,
		     struct violations *v);
/* Both set and equal is refused. */
void condition_distinct(const json_t *entity, const char *a, const char *b, struct violations *v);
/* Whether a member has a value that is not empty. */
bool condition_is_set(const json_t *entity, const char *name);

#endif
