/* TLS sessions with upstreams, to resume: bounded, by what a connection proves and to which address
 * it goes. Model: nginx's proxy_ssl_session_reuse.
 *
 * A session is kept under the identity that it was verified under (tls/origin.h: name,
 * verification, depth, authorities in their versions, client certificate) and is found under no
 * other; not longer than SESSIONS_MAX_SECONDS, and than each certificate of the chain that was
 * verified. One of TLS 1.3 is given out once (RFC 8446 appendix C.4), one of TLS 1.2 as often as it
 * is asked for. The newest SESSIONS_EACH of an identity and address are kept; over `max` of those,
 * the one that was used longest ago goes. owner and thread: the worker.
 */
#ifndef CARDEA_TLS_SESSIONS_H
#define CARDEA_TLS_SESSIONS_H

#include <openssl/ssl.h>
#include <stdint.h>

#include "common/core/list.h"
#include "common/core/map.h"
#include "common/net/addr.h"

enum { SESSIONS_EACH = 4, SESSIONS_MAX_SECONDS = 2 * 3600 };

struct tls_sessions {
	size_t max;	    /* set: identities with their addresses; 0: nothing is kept */
	struct map map;	    /* private */
	struct link recent; /* private: most recent first */
	struct buf key;	    /* private: scratch */
	uint64_t evicted;   /* read: how often one went for `max` */
};

/* Empty. Allocates nothing yet. */
void tls_sessions_init(struct tls_sessions *s, size_t max);
/* Frees what is kept. */
void tls_sessions_deinit(struct tls_sessions *s);
/* Keeps a copy. now, until: Unix time, seconds; until: when what was verified ends. Without memory
 * nothing is kept. */
void tls_sessions_put(struct tls_sessions *s, struct str identity, const struct addr *addr,
		      const SSL_SESSION *session, int64_t now, int64_t until);
/* One to offer, the caller's; *until as it was put. NULL: none. */
SSL_SESSION *tls_sessions_take(struct tls_sessions *s, struct str identity, const struct addr *addr,
			       int64_t now, int64_t *until);
/* Drops what is kept of it. */
void tls_sessions_forget(struct tls_sessions *s, struct str identity, const struct addr *addr);
/* Identities with their addresses of which something is kept. */
size_t tls_sessions_count(const struct tls_sessions *s);

#endif
