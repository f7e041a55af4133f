/* What consistent hashing is done on (kong-admin-api.md 2.6: hash_on, hash_fallback). Pure. Thread:
 * any. */
#ifndef CARDEA_PROXY_TARGET_HASH_H
#define CARDEA_PROXY_TARGET_HASH_H

#include "data-plane/proxy/targets.h"

/* Where set_cookie points when the client has to be given a cookie. */
enum { TARGET_COOKIE_MAX = 1024 };

/* false: the request has no such value; or the arena is full. For a cookie that the request does
 * not have a value is made and *set_cookie is its Set-Cookie in the arena. */
bool target_hash(const struct hash_input *in, const struct target_request *q,
		 struct str cookie_path, struct arena *a, uint64_t *hash, struct str *set_cookie);

#endif
