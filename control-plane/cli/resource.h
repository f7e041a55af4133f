/* What a command line calls ENTITY: "services", "service", or a list below something,
 * "upstreams/api/targets". Thread: any. */
#ifndef CARDEA_CLI_RESOURCE_H
#define CARDEA_CLI_RESOURCE_H

#include "control-plane/model/entity.h"

struct resource {
	const struct entity *entity;
	const struct entity *parent; /* NULL: a list of its own */
	struct buf path;	     /* "/upstreams/api/targets": escaped; the caller's */
};

/* ERR_INVALID: unknown; the message names what there is. *r is filled on success only. */
int resource_parse(struct resource *r, const char *text, struct err *e) must_check;
/* What an entity that has lists below a parent only refers to. */
const struct field *resource_parent_field(const struct entity *t);
/* The path of one element, appended to out. */
int resource_path(const struct resource *r, struct str key, struct buf *out,
		  struct err *e) must_check;
/* What addresses a row: its id, else the name that its entity goes by, for certificates the first
 * SNI. STR_NONE: nothing does. Borrowed from row. */
struct str resource_key(const struct entity *t, const json_t *row);
/* As a person calls it: the name first, then the id; "" when there is neither. */
const char *resource_name(const struct entity *t, const json_t *row);
/* The entity of a name in plural or singular; NULL when there is none for the outside. */
const struct entity *resource_entity(struct str name);

#endif
