/* One value against one field: type, limits, check, defaults. Private to control-plane/model/.
 * Thread: any. */
#ifndef CARDEA_MODEL_VALIDATE_H
#define CARDEA_MODEL_VALIDATE_H

#include "control-plane/model/field.h"

/* Where in an entity a value is. Names come from bodies and may hold anything, so that a path is
 * kept in steps and not as text. */
struct step {
	struct str name; /* of a record's field or a map's key */
	size_t position; /* in a list, 1-based; 0: it is a name */
};
enum { PATH_STEPS_MAX = 16 };
struct path {
	struct step steps[PATH_STEPS_MAX];
	size_t count; /* deeper ones are counted and not kept: the text then stands higher up */
};
static inline void path_push(struct path *p, struct step s)
{
	if (p->count < PATH_STEPS_MAX)
		p->steps[p->count] = s;
	p->count++;
}
static inline void path_pop(struct path *p)
{
	p->count--;
}

/* As violations_add, by steps. */
void violations_add_at(struct violations *v, const struct path *p, const char *fmt, ...)
	printf_like(3, 4);

/* What is to be stored for `given` (NULL: absent): a new reference; a default, a cleaned copy, or
 * null. Violations go to v; then the result is of no use, but still a reference or NULL. */
json_t *field_normalise(const struct field *f, const json_t *given, struct path *p,
			struct violations *v);
#endif
