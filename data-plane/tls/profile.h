/* Which versions, cipher suites and groups listeners offer: Kong's ssl_cipher_suite and what goes
 * with it (kong-acme-hybrid.md section 6). Pure. Thread: any. */
#ifndef CARDEA_TLS_PROFILE_H
#define CARDEA_TLS_PROFILE_H

#include <openssl/ssl.h>

#include "common/core/err.h"

enum tls_suite { SUITE_MODERN, SUITE_INTERMEDIATE, SUITE_OLD, SUITE_CUSTOM, TLS_SUITES };

struct tls_profile {
	enum tls_suite suite;
	/* custom only */
	const char *protocols; /* "TLSv1.2 TLSv1.3" */
	const char *ciphers;   /* OpenSSL's list; NULL: intermediate's */
	bool prefer_server;
	/* any */
	const char *groups; /* OpenSSL's list, the best first; "?name": left out where the library
			       has no such group */
	bool tickets;
	long session_seconds; /* a session is resumed at most so long after it was made */
};

/* NULL-terminated, by enum tls_suite. */
extern const char *const tls_suite_names[];

/* On a context that tls_context made. ERR_INVALID names the key that is at fault. */
int tls_profile_apply(SSL_CTX *ctx, const struct tls_profile *p, struct err *e) must_check;

#endif
