/* JSON Web Signatures as ACME wants them: ES256, ES384 or RS256, flattened JSON, everything in the
 * protected header (RFC 8555 section 6.2, RFC 7515, RFC 7638). Pure. Thread: any. */
#ifndef CARDEA_ACME_JWS_H
#define CARDEA_ACME_JWS_H

#include <openssl/evp.h>

#include "common/core/err.h"
#include "common/core/str.h"

enum { JWS_THUMBPRINT_SIZE = 44 }; /* base64url of SHA-256, with the NUL */

/* Appends the public key as JWK with its members in the order of RFC 7638. ERR_INVALID unless the
 * key is on P-256 or P-384, or RSA. */
int jws_jwk(struct buf *out, EVP_PKEY *key, struct err *e) must_check;
/* RFC 7638: base64url(SHA-256(JWK)), NUL-terminated. */
int jws_thumbprint(char out[JWS_THUMBPRINT_SIZE], EVP_PKEY *key, struct err *e) must_check;

struct jws_header {
	const char *url;   /* of the request, byte for byte */
	const char *nonce; /* NULL: none (inner JWS) */
	const char *kid;   /* account URL; NULL: the key itself is shown as "jwk" */
};
/* Appends {"protected","payload","signature"}. payload STR_NONE or empty is the empty string of
 * POST-as-GET. */
int jws_sign(struct buf *out, const struct jws_header *h, EVP_PKEY *key, struct str payload,
	     struct err *e) must_check;

#endif
