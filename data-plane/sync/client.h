/* The stream to a control plane: connects, says hello, feeds apply, acks and nacks, reconnects with
 * full jitter to the next address.
 *
 *   idle ─▶ connecting ─▶ open ─▶ (snapshot | delta)* ─▶ closed ─▶ waiting ─▶ connecting ...
 * owner: the sync thread, thread: its loop.
 */
#ifndef CARDEA_SYNC_CLIENT_H
#define CARDEA_SYNC_CLIENT_H

#include "common/core/err.h"
#include "common/net/loop.h"
#include "data-plane/sync/apply.h"
#include "data-plane/sync/decode.h"

struct sync_client;

struct sync_client_conf {
	const char *control_planes; /* "host:port,host:port" */
	const char *server_name;
	const char *cert_file, *key_file, *ca_file;
	const char *node_id, *hostname;
	const char *labels; /* "a=b,c=d" or NULL */
	uint64_t keepalive_ms;
	/* A revision was applied (also: a stream opened or closed): for status and metrics. May be
	 * NULL. */
	void (*on_change)(void *arg);
	/* To a WantCertificate; lives during the call. May be NULL. */
	void (*on_want_answer)(const struct want_answer *a, void *arg);
	void *arg;
};

/* Connects in the background and goes on for ever. Strings of *c are copied; apply is borrowed and
 * must be used by nobody else on another thread. ERR_INVALID: addresses or labels; errors of the
 * TLS files name them. */
int sync_client_start(struct sync_client **out, struct loop *l, struct apply *a,
		      const struct sync_client_conf *c, struct err *e) must_check;
/* Ends the stream; what was staged is rolled back. closed comes once, later. */
void sync_client_close(struct sync_client *s, void (*closed)(void *arg), void *arg);
/* Whether a stream is open now. */
bool sync_client_connected(const struct sync_client *s);
/* Why there is no stream now; "" when there is one. */
const char *sync_client_problem(const struct sync_client *s);
/* Sends an encoded NodeMessage and frees it; false: there is no stream, nothing was done. */
bool sync_client_send(struct sync_client *s, struct buf *message) must_check;
/* Adds hits to the next report, sent within some milliseconds. */
void sync_client_hit(struct sync_client *s, const unsigned char challenge_id[16], uint32_t count);

#endif
