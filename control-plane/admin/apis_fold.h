/* An api's fields under the names they had from Kong 0.3 on, and what names a body used. Pure.
 * Thread: any. */
#ifndef CARDEA_ADMIN_APIS_FOLD_H
#define CARDEA_ADMIN_APIS_FOLD_H

#include "control-plane/admin/apis.h"

/* An older name of a field. */
struct apis_alias {
	const char *name, *now;
	bool first;   /* of a list */
	bool is_path; /* without slashes at its end */
};
enum { APIS_ALIASES = 7 };
extern const struct apis_alias apis_aliases[APIS_ALIASES];

/* Older names of input, in place, to those of apis_entity. Of several names for one thing that one
 * counts which differs from old (as apis_show gave it; NULL: none): clients send back what they
 * read. whole: input is to be a whole api, so that defaults of its time are filled in. *spelled
 * (new reference) says which name the client used for which field. */
void apis_fold(json_t *input, bool form, bool whole, const json_t *old, json_t **spelled,
	       struct violations *v);

/* The name that the client used for a field; the field's own when it used none. */
const char *apis_spelling(const json_t *spelled, const char *field);
/* Whether it used a name that only came with 0.10. */
bool apis_is_recent(const json_t *spelled) must_check;
/* null, [] and {}. */
bool apis_is_empty(const json_t *value) must_check;

#endif
