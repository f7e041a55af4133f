/* Request bodies of the admin API: urlencoded forms and multipart/form-data into a JSON tree,
 * Kong's rules (kong-admin-api.md 1.3). Pure. Thread: any. */
#ifndef CARDEA_HTTP_BODY_H
#define CARDEA_HTTP_BODY_H

#include <jansson.h>

#include "common/core/err.h"
#include "common/core/str.h"

enum { BODY_ARGS_MAX = 1000, BODY_DEPTH_MAX = 64 };

/* "a=1&b.c=2&d[]=x" to {"a":"1","b":{"c":"2"},"d":["x"]}: values stay strings, coercion is the
 * model's. The result is the caller's (json_decref). ERR_INVALID: bad escapes, invalid UTF-8, NUL,
 * depth; ERR_LIMIT "Too many arguments". */
int body_form(json_t **out, struct str bytes, struct err *e) must_check;
/* content_type: the whole field value, with the boundary. */
int body_multipart(json_t **out, struct str bytes, struct str content_type,
		   struct err *e) must_check;
/* JSON object only; duplicate keys, depth over BODY_DEPTH_MAX, NUL in strings, invalid UTF-8 are
 * ERR_INVALID "Cannot parse JSON body". */
int body_json(json_t **out, struct str bytes, struct err *e) must_check;

/* One named value into an object, as a form's field is: "a.b[2]". Takes the reference to value,
 * which may be anything. After the last one comes body_finish, which closes the positions that no
 * name had. */
int body_put(json_t *root, struct str name, json_t *value, struct err *e) must_check;
void body_finish(json_t *root);

#endif
