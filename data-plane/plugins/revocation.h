/* Whether clients' certificates were revoked: asked of responders, else read in lists, and kept for
 * a while. One per worker.
 *
 *     a chain ─▶ each certificate below the anchor: known? ─ yes ─▶ next, or the answer
 *                     └─ no ─▶ look-up (one per certificate) ─▶ responder ─▶ list ─▶ known
 *
 * A list is fetched once for all who wait for it. owner and thread: the worker. */
#ifndef CARDEA_PLUGINS_REVOCATION_H
#define CARDEA_PLUGINS_REVOCATION_H

#include <openssl/x509.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/net/loop.h"
#include "data-plane/plugins/revocation_source.h"

enum {
	REVOCATION_LOOKUPS_MAX = 64,	   /* at a time */
	REVOCATION_WAITS_MAX = 4096,	   /* requests that wait */
	REVOCATION_VERDICTS_MAX = 4096,	   /* certificates that are known */
	REVOCATION_LISTS_MAX = 64,	   /* lists that are kept */
	REVOCATION_LISTS_BYTES = 32 << 20, /* of them together */
	REVOCATION_OCSP_BYTES = 64 << 10,  /* of a responder's answer */
	REVOCATION_RETRY_MS = 5 * 1000,	   /* after an answer that was of no use */
};

struct revocation_options {
	struct loop *loop;
	bool allow_private; /* responders at addresses that are not public */
	size_t max_bytes;   /* of a list */
};

struct revocation;
/* Nothing is asked yet. */
int revocation_create(struct revocation **out, const struct revocation_options *o,
		      struct err *e) must_check;
/* Forgets everything. True: fetches are still ending; closed (may be NULL) is called when they
 * have. False: closed is not called. It is freed then. Who waits is not told. */
bool revocation_close(struct revocation *r, void (*closed)(void *arg), void *arg);

/* The one that the calling thread's plugins ask; NULL: none. */
struct revocation *revocation_of_worker(void);
void revocation_set_of_worker(struct revocation *r);

/* How a plugin wants it. */
struct revocation_how {
	uint64_t timeout_ms;	/* of one fetch */
	uint64_t ttl_ms;	/* how long an answer holds, if it does not end earlier */
	bool ssl_verify;	/* of responders by https */
	const char *proxy_host; /* NULL: none. Copied */
	uint16_t proxy_port;
};

struct revocation_wait;

/* What is known of a verified chain (leaf first, anchor last), now. When *wait is set it is not
 * known yet: done is called later with the answer, unless revocation_forget comes first. REVOKED: a
 * certificate of it is. UNKNOWN: nobody says so of the leaf, or of an authority that names where to
 * ask; or limits are reached. */
enum revocation_status revocation_ask(struct revocation *r, STACK_OF(X509) * chain,
				      const struct revocation_how *how,
				      void (*done)(enum revocation_status status, void *arg),
				      void *arg, struct revocation_wait **wait);
/* Not from within done. */
void revocation_forget(struct revocation_wait *w);

/* For tests. */
struct revocation_counts {
	size_t lookups, waits, verdicts, lists, list_bytes, fetched;
};
struct revocation_counts revocation_counts(const struct revocation *r);

#endif
