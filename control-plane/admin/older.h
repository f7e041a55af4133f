/* What the whole surface of Kong 0.3 to 0.14 has in common: older names of body fields, the shape
 * of its errors, and the headers that mark its answers. Thread: the loop. */
#ifndef CARDEA_ADMIN_OLDER_H
#define CARDEA_ADMIN_OLDER_H

#include "control-plane/admin/request.h"

/* Gives members of a body for t their present names, in place: plugins' value, api_id and
 * consumer_id, snis' ssl_certificate_id; and makes one text of several names in a form's snis a
 * list ("a.com,b.com", which all versions take). True when an older name stood there. */
bool older_input(const struct entity *t, bool form, json_t *input);

/* r->shape for answers to requests with older names: adds these names to what is shown. */
json_t *older_names(struct admin_request *r, unsigned *status, json_t *body);
/* r->shape for paths that exist no more: errors as {"field.name": "text"} or {"message": "text"}
 * (kong-acme-hybrid.md 4.4). Other answers stay as they are. */
json_t *older_errors(struct admin_request *r, unsigned *status, json_t *body);

/* Deprecation and Link of an answer (RFC 9745, RFC 8288); t: the entity of the path, or NULL. */
int older_headers(struct http_fields *f, struct arena *a, const struct entity *t) must_check;

#endif
