/* A client's HTTP/2 connection that carries one long streaming call both ways (gRPC), over its own
 * conn. owner: its creator, thread: its loop. */
#ifndef CARDEA_HTTP_CALL_H
#define CARDEA_HTTP_CALL_H

#include <openssl/ssl.h>
#include <stdint.h>

#include "common/core/err.h"
#include "common/http/msg.h"
#include "common/net/loop.h"

struct call;

struct call_events {
	/* Connection is up and the request was sent: call_write may start. */
	void (*on_open)(struct call *c, void *arg);
	/* Response head. */
	void (*on_head)(struct call *c, unsigned status, const struct http_fields *fields,
			void *arg);
	void (*on_data)(struct call *c, struct str bytes, void *arg);
	void (*on_trailers)(struct call *c, const struct http_fields *fields, void *arg);
	/* Last call: ended by the peer (ERR_NONE), by call_close, or failed. The call is freed when
	 * it returns. */
	void (*on_close)(struct call *c, const struct err *why, void *arg);
};

struct call_options {
	const char *host; /* to connect to */
	uint16_t port;
	const char *server_name;	 /* SNI and verified name */
	SSL_CTX *tls;			 /* required */
	const char *path;		 /* "/cardea.v1.Fleet/Sync" */
	const struct http_field *fields; /* extra request fields; copied */
	size_t field_count;
	uint64_t ping_ms; /* HTTP/2 PING after so much silence; no answer in the same time fails the
			     call; 0: off */
	const struct call_events *events;
	void *arg;
};

/* Connects and sends the request head: POST with `te: trailers`, `content-type: application/grpc`
 * and :authority of server_name and port. Failures of the network come as on_close, later. */
int call_start(struct call **out, struct loop *l, const struct call_options *o,
	       struct err *e) must_check;
/* Queues a copy of bytes. false: over the high mark (256 KiB). */
bool call_write(struct call *c, struct str bytes);
size_t call_queued(const struct call *c);
/* Ends the call in order (CANCEL, GOAWAY, close_notify; no more events but on_close, which follows
 * when the peer has closed too, after 2 s at the latest if it takes the last bytes). Safe twice. */
void call_close(struct call *c);

#endif
