/* What a request says of its sender: `Authorization: Bearer TOKEN` (RFC 6750), or
 * `Kong-Admin-Token: TOKEN` as clients of Kong send. Pure. Thread: any. */
#ifndef CARDEA_ADMIN_CREDENTIALS_H
#define CARDEA_ADMIN_CREDENTIALS_H

#include "common/http/msg.h"

enum credentials {
	CREDENTIALS_NONE,
	CREDENTIALS_TOKEN,     /* *token has its text, which may be anything */
	CREDENTIALS_SCHEME,    /* Authorization has another scheme, and nothing else is there */
	CREDENTIALS_AMBIGUOUS, /* more than one: 400 (RFC 6750 section 3.1) */
};

/* *token lives as long as f; STR_NONE without one. */
enum credentials credentials_find(const struct http_fields *f, struct str *token);

#endif
