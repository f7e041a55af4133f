/* Arguments of the form field=value into the JSON of an entity.
 *
 *   name=text             a.b=text  a[key]=text          nested
 *   list[]=a list[]=b     list[1]=a list[2]=b            lists; a scalar for a list is one element
 *   cert=@FILE            the content of a file; @- is the standard input
 *   port:=8080            JSON as it stands; also :=@FILE
 *   tags=                 null
 *
 * Text becomes what the field's type asks for, as in a form (common/http/body.h,
 * entity_coerce_form). Thread: any. */
#ifndef CARDEA_CLI_ASSIGN_H
#define CARDEA_CLI_ASSIGN_H

#include "control-plane/model/entity.h"

/* *out is the caller's. old: the entity that is changed, or NULL. ERR_INVALID names the argument;
 * what a file holds is not shown. */
int assign_read(json_t **out, const struct entity *t, const json_t *old, int count, char **words,
		struct err *e) must_check;

#endif
