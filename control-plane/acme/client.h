/* The client of one CA: its directory, its nonces, and signed requests (RFC 8555 sections 6 and 7).
 * owner: the ACME engine, thread: the loop. */
#ifndef CARDEA_ACME_CLIENT_H
#define CARDEA_ACME_CLIENT_H

#include <openssl/evp.h>

#include "common/core/err.h"
#include "common/metrics/metrics.h"
#include "control-plane/acme/fetch.h"
#include "control-plane/acme/problem.h"

struct client;
struct client_call;

enum { CLIENT_BAD_NONCE_MAX = 5 }; /* per request */

/* fetcher and metrics (may be NULL) are borrowed, directory_url is copied. */
int client_create(struct client **out, struct fetcher *f, const char *directory_url,
		  struct metrics *m, struct err *e) must_check;
/* Its calls must be over or cancelled. NULL is fine. */
void client_free(struct client *c);

enum client_endpoint {
	CLIENT_NEW_ACCOUNT,
	CLIENT_NEW_ORDER,
	CLIENT_ORDER,
	CLIENT_AUTHORIZATION,
	CLIENT_CHALLENGE,
	CLIENT_FINALIZE,
	CLIENT_CERTIFICATE,
};

struct client_request {
	enum client_endpoint endpoint;
	const char *url;    /* NULL for the two that the directory names */
	EVP_PKEY *key;	    /* of the account; a reference is taken */
	const char *kid;    /* account URL; NULL: the request carries the key itself */
	struct str payload; /* empty: POST-as-GET */
	/* Read while the call is under way: it is not sent after that moment (monotonic), whatever
	 * it waited for before. NULL: at any time. */
	const uint64_t *until_ns;
};

/* Borrowed until the callback returns. */
struct client_reply {
	struct problem problem; /* problem_is_set: the request failed */
	unsigned status;
	struct str body;
	struct str location;
	int64_t retry_after_ms;
};
typedef void (*client_done)(const struct client_reply *r, void *arg);

/* Fetches directory and nonce where needed, signs, posts, and repeats at once on badNonce. done is
 * called once, later; the call is freed right after it. */
int client_post(struct client_call **out, struct client *c, const struct client_request *r,
		client_done done, void *arg, struct err *e) must_check;
/* Forgets it; done is not called. NULL is fine. Not after done. */
void client_cancel(struct client_call *call);

#endif
