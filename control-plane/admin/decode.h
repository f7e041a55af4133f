/* Request bodies by content type into r->input (kong-admin-api.md 1.3). Thread: the loop. */
#ifndef CARDEA_ADMIN_DECODE_H
#define CARDEA_ADMIN_DECODE_H

#include "control-plane/admin/request.h"

enum decode_verdict { DECODE_OK, DECODE_UNSUPPORTED /* 415 */, DECODE_DUPLICATE_TYPE /* 400 */ };

/* Judges the Content-Type of a request with method POST, PUT or PATCH before its body is read. */
enum decode_verdict decode_type(const struct http_request *q);
/* Decodes r->body, and decode_fields. An empty body without type is {}. */
int decode_body(struct admin_request *r, struct err *e) must_check;
/* What r->entity's table says of the decoded body: older names of fields, form text to typed
 * values. For paths that name their entity later; does nothing without one. */
void decode_fields(struct admin_request *r);

#endif
