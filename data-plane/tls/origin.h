/* TLS to upstreams: what a connection to one is made and verified with (kong-admin-api.md 2.4,
 * reliability-goals UP-11, UP-12). owner and thread: the worker, or whoever makes health checks. */
#ifndef CARDEA_TLS_ORIGIN_H
#define CARDEA_TLS_ORIGIN_H

#include <openssl/ssl.h>

#include "common/core/err.h"
#include "common/core/list.h"
#include "data-plane/tables/service.h"
#include "data-plane/tables/tables.h"
#include "data-plane/tables/upstream.h"
#include "data-plane/tls/sessions.h"

/* Reference-counted. Two are the same object when name, verification, trust and client certificate
 * are the same, so that connections are shared by what they prove. */
struct origin_tls {
	SSL_CTX *ctx;	  /* read */
	const char *name; /* read: SNI and the name that is verified; NUL-terminated */
	bool verify;	  /* read */
	struct str key;	  /* private: the bytes of all that */
	const struct origin_tls_options *options; /* private: of the cache; NULL: it is gone */
	struct tls_sessions *sessions;		  /* private: likewise */
	unsigned refs;				  /* private */
	struct link idle;			  /* private */
	void *cache;				  /* private */
};

enum origin_event {
	ORIGIN_FULL,	/* a handshake was completed */
	ORIGIN_RESUMED, /* one was, with a session of an earlier connection */
	ORIGIN_EVICTED, /* sessions went for the limit */
	ORIGIN_EVENTS,
};

struct origin_tls_options {
	const struct tables *tables;
	const char *trusted_file;	  /* PEM bundle of the global trust; NULL: the system's */
	const char *cert_file, *key_file; /* client_ssl_cert, client_ssl_cert_key; NULL: none */
	bool verify;			  /* tls_verify of services that do not say */
	int verify_depth;
	bool enforce;	 /* tls_certificate_verify: services cannot switch it off */
	size_t sessions; /* to resume: of so many identities with their addresses; 0: none */
	void (*on_event)(enum origin_event event, void *arg); /* counts; may be NULL */
	void *arg;
};
struct origin_tls_cache;

/* Errors name the file. */
int origin_tls_cache_create(struct origin_tls_cache **out, const struct origin_tls_options *o,
			    struct err *e) must_check;
/* NULL is fine; what is referenced stays. */
void origin_tls_cache_free(struct origin_tls_cache *c);
/* For a service (with its upstream entity, or NULL) whose request goes to the name host. http2: ask
 * for h2 by ALPN. The caller owns a reference. ERR_INVALID: an authority or certificate that the
 * service names is not there or cannot be used: never a fallback to less. */
int origin_tls_get(struct origin_tls **out, struct origin_tls_cache *c, uint64_t generation,
		   const struct service *s, const struct upstream *u, struct str host, bool http2,
		   struct err *e) must_check;
/* The same for the active checks of an upstream, which know of no service:
 * `https_verify_certificate` says whether the certificate is verified, by the global trust. */
int origin_tls_get_for_checks(struct origin_tls **out, struct origin_tls_cache *c,
			      const struct upstream *u, struct str host, bool http2,
			      struct err *e) must_check;
/* Before the handshake of a connection to addr: offers a session of an earlier one that proved the
 * same, and keeps what this one gets. Without memory, neither. */
void origin_tls_offer(struct origin_tls *t, SSL *ssl, const struct addr *addr);
/* Its handshake is complete. NULL, or none that was offered: nothing. */
void origin_tls_opened(SSL *ssl);
/* Sessions of the context are kept by what origin_tls_offer says. For the cache. */
int origin_tls_resumable(SSL_CTX *ctx, struct err *e) must_check;
void origin_tls_unref(struct origin_tls **t);
struct origin_tls *origin_tls_ref(struct origin_tls *t);

#endif
