/* What the files of revocation share; nobody else includes it.
 *
 *     revocation.c         who asks, and what is known
 *     revocation_lookup.c  responders and lists */
#ifndef CARDEA_PLUGINS_REVOCATION_INTERNAL_H
#define CARDEA_PLUGINS_REVOCATION_INTERNAL_H

#include <openssl/ssl.h>

#include "common/core/list.h"
#include "common/core/map.h"
#include "data-plane/plugins/fetch.h"
#include "data-plane/plugins/revocation.h"

enum { REVOCATION_KEY_SIZE = 32 };

/* owner: revocation's lists, oldest first, thread: the worker. */
struct list {
	struct link link;
	struct revocation *all;
	char *url;
	X509_CRL *crl; /* NULL: none yet */
	size_t bytes;
	uint64_t fetched_ns;
	int64_t until;
	struct fetch *fetch; /* NULL: none runs */
	bool busy;	     /* what was fetched is being read: it stays */
	struct link waiting; /* struct lookup, by at_list */
};

/* owner: revocation's lookups, thread: the worker. */
struct lookup {
	struct link link;
	struct link at_list; /* of a list's waiting */
	struct link waits;   /* struct revocation_wait */
	struct revocation *all;
	unsigned char key[REVOCATION_KEY_SIZE];
	X509 *cert, *issuer;
	struct revocation_how how;
	char *proxy_host; /* how.proxy_host */
	struct fetch *fetch;
	bool ended;
	enum revocation_status status; /* once ended */
};

/* owner: who asked, thread: the worker. */
struct revocation_wait {
	struct link link; /* of a lookup's waits */
	struct revocation *all;
	STACK_OF(X509) * chain;
	int at;
	struct revocation_how how;
	char *proxy_host;
	void (*done)(enum revocation_status status, void *arg);
	void *arg;
};

struct revocation {
	struct revocation_options options;
	SSL_CTX *tls[2]; /* [verify]; made when they are first needed */
	struct map verdicts;
	struct link verdict_order, lists, lookups;
	struct revocation_counts n;
	size_t running; /* fetches */
	bool closed;
	void (*on_closed)(void *arg);
	void *on_closed_arg;
};

/* revocation.c */
void revocation_put(struct revocation *r, const unsigned char *key, enum revocation_status status,
		    int64_t until);
bool revocation_is_fresh(uint64_t at_ns, int64_t until, uint64_t ttl_ms);
/* The look-up that w waited for ended, and is gone. */
void revocation_take(struct revocation_wait *w, enum revocation_status status);
/* Frees r when it is closed and nothing of it runs. */
void revocation_settle(struct revocation *r);

/* revocation_lookup.c */
struct lookup *lookup_find(struct revocation *r, const unsigned char *key);
/* NULL: limits, memory. It may have ended already: then the caller frees it. */
struct lookup *lookup_start(struct revocation *r, const unsigned char *key, X509 *cert,
			    X509 *issuer, const struct revocation_how *how);
void lookup_free(struct lookup *l);
/* The worker stops. */
void lookup_abandon(struct lookup *l);
void revocation_list_abandon(struct list *l);

#endif
