/* The client of one CA: its directory, its nonces, and signed requests (RFC 8555 sections 6 and 7).
 * owner: the ACME engine, thread: the loop. */
#ifndef CARDEA_ACME_CLIENT_H
#define CARDEA_ACME_CLIENT_H

#include <openssl/evp.h>

#include "common/core/err.h"
#include "common/metrics/metrics.h"
#include "control-plane/acme/breaker.h"
#include "control-plane/acme/fetch.h"
#include "control-plane/acme/lane.h"
#include "control-plane/acme/limit.h"
#include "control-plane/acme/message.h"
#include "control-plane/acme/problem.h"
#include "control-plane/store/store.h"

struct client;
struct client_call;

enum { CLIENT_BAD_NONCE_MAX = 5 }; /* per request */

struct client_conf {
	struct loop *loop; /* all pointers and strings are borrowed */
	struct store *store;
	struct fetcher *fetcher;
	struct breaker *breaker;
	struct metrics *metrics; /* may be NULL */
	const char *directory;	 /* URL */
	const char *egress;	 /* names the address that requests come from; "": one for all */
	const struct limits *limits;
	unsigned requests_max; /* under way at once */
};

/* Asks nobody yet. */
int client_create(struct client **out, const struct client_conf *c, struct err *e) must_check;
/* Its calls must be over or cancelled. Before its fetcher; closed comes later, and c is freed. */
void client_close(struct client *c, void (*closed)(void *arg), void *arg);
/* What was read last; NULL: nothing yet. */
const struct acme_directory *client_directory(const struct client *c);
/* Reads it soon, unless it is known and fresh. */
void client_learn(struct client *c);

enum client_endpoint {
	CLIENT_NEW_ACCOUNT,
	CLIENT_NEW_ORDER,
	CLIENT_ORDER,
	CLIENT_AUTHORIZATION,
	CLIENT_CHALLENGE,
	CLIENT_FINALIZE,
	CLIENT_CERTIFICATE,
	CLIENT_ACCOUNT,
	CLIENT_KEY_CHANGE,
	CLIENT_REVOKE,
};

/* Writes a payload that needs the directory; arg is the call's. */
typedef int (*client_build)(struct buf *out, const struct acme_directory *d, void *arg,
			    struct err *e);

struct client_request {
	enum client_endpoint endpoint;
	const char *url;    /* NULL for those that the directory names */
	EVP_PKEY *key;	    /* of the account; a reference is taken */
	const char *kid;    /* account URL; NULL: the request carries the key itself */
	struct str payload; /* empty: POST-as-GET */
	client_build build; /* in place of payload, when the directory is known; may be NULL */
	enum lane lane;	    /* whose turn it is when many wait */
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
	struct str links; /* as in fetch_reply */
	int64_t retry_after_ms;
};
typedef void (*client_done)(const struct client_reply *r, void *arg);

/* Fetches directory and nonce where needed, signs, posts, and repeats on badNonce. done is
 * called once, later; the call is freed right after it. */
int client_post(struct client_call **out, struct client *c, const struct client_request *r,
		client_done done, void *arg, struct err *e) must_check;
/* Forgets it; done is not called. NULL is fine. Not after done. */
void client_cancel(struct client_call *call);

#endif
