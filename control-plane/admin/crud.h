/* The generic handlers: every entity's verbs out of its table (kong-admin-api.md 1.5 to 1.8).
 * Thread: the loop.
 *
 *   resolve parent? ─▶ read the row? ─▶ build and check ─▶ one transaction ─▶ answer (waits for the
 * fleet when asked) ▲──────────── changed by somebody else ◀──┘ (at most 5 times)
 */
#ifndef CARDEA_ADMIN_CRUD_H
#define CARDEA_ADMIN_CRUD_H

#include "control-plane/admin/request.h"

/* One verb each, for the table of routes; each answers r, now or later. */
void crud_list(struct admin_request *r);
void crud_get(struct admin_request *r);
void crud_post(struct admin_request *r);
void crud_put(struct admin_request *r);
void crud_patch(struct admin_request *r);
void crud_delete(struct admin_request *r);

/* The same for what an entity refers to: /routes/{r}/service (crud_reverse.c). */
void crud_reverse_get(struct admin_request *r);
void crud_reverse_put(struct admin_request *r);
void crud_reverse_patch(struct admin_request *r);
void crud_reverse_delete(struct admin_request *r);

/* Whether key can address an entity of t; answers 400 with code 1 or 10 unless it returns true
 * (kong-admin-api.md 1.4). */
bool crud_key_ok(struct admin_request *r, const struct entity *t, struct str key) must_check;
/* Finds what the path names before `next` runs: r->parent_id, and for `with_row` the row in r->old
 * (NULL when there is none). Answers by itself when the parent is missing or the database fails. */
void crud_resolve(struct admin_request *r, bool with_row, admin_handler next);
/* Name of the field of r->entity that refers to r->parent. */
const char *crud_parent_field(const struct admin_request *r);
/* What r's sender may see of a row of r->entity; new reference. */
json_t *crud_show(const struct admin_request *r, const json_t *row);

#endif
