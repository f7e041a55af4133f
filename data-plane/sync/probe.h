/* One active health check of one address.
 *
 *   happy path: connect ─▶ (TLS) ─▶ GET ─▶ status line ─▶ done(PROBE_STATUS)
 *               of type tcp and grpc: connect, of grpcs: TLS with h2 ─▶ done(PROBE_CONNECTED)
 *   failures:   no connection, no TLS, a certificate that is not trusted, no h2 for grpcs, an
 * answer that breaks HTTP: PROBE_FAILED; not done in time: PROBE_TIMEOUT owner: its creator,
 * thread: the loop. */
#ifndef CARDEA_SYNC_PROBE_H
#define CARDEA_SYNC_PROBE_H

#include <openssl/ssl.h>

#include "common/net/addr.h"
#include "common/net/loop.h"
#include "data-plane/tables/upstream.h"

enum probe_result { PROBE_CONNECTED, PROBE_STATUS, PROBE_FAILED, PROBE_TIMEOUT };

struct probe_options {
	struct loop *loop;
	const struct addr *addr;
	enum check_type type;
	struct str host;	 /* Host field, with port */
	const char *server_name; /* SNI and name that is verified; NULL: neither */
	SSL_CTX *tls;		 /* of https and grpcs */
	struct str path;
	const struct entity_field *headers;
	size_t header_count;
	uint64_t timeout_ms;
	void (*done)(enum probe_result r, unsigned status, void *arg);
	void *arg;
};

struct probe;

/* Copies what it needs. done comes once, later, and *out is gone when it returns. */
int probe_start(struct probe **out, const struct probe_options *o, struct err *e) must_check;
/* Gives up: done does not come. NULL is fine. */
void probe_cancel(struct probe *p);

#endif
