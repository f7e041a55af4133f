/* Failures as Kong's error bodies (kong-admin-api.md 1.10). Thread: the loop. */
#ifndef CARDEA_ADMIN_FAULT_H
#define CARDEA_ADMIN_FAULT_H

#include "control-plane/admin/request.h"

/* Answers for a failed store call; entity is what the request was about. */
void fault_reply(struct admin_request *r, const struct entity *t, const struct store_result *res);
/* 404 with code 6 for a key that is an id or an endpoint key. */
void fault_not_found(struct admin_request *r, const struct entity *t, struct str key);
/* 405 with code 12: entities of t are not written by requests when there is no database. Of what is
 * no entity, only a message. t may be NULL. */
void fault_read_only(struct admin_request *r, const struct entity *t);
/* 400 with code 2. */
void fault_violations(struct admin_request *r, const struct violations *v);
/* {"code":N,"name":...,"message":...,"fields":...}; fields (taken over) may be NULL. */
void fault_code(struct admin_request *r, unsigned status, int code, const char *name,
		json_t *fields, const char *fmt, ...) printf_like(6, 7);
/* 500, the same words for every inner failure. */
void fault_internal(struct admin_request *r);

#endif
