/* The gRPC server that data planes call (proto/README.md): one stream per call of
 * /cardea.v1.Fleet/Sync, each with its node.
 *
 *   happy path:  request -> head 200 -> Hello -> on_hello -> node is pumped in slices, one per
 *                stream and loop turn, while the connection takes bytes -> acks -> on_answer
 *   wrong path:          answered UNIMPLEMENTED, no stream
 *   malformed message:   trailers INVALID_ARGUMENT, nothing changed -> on_gone
 *   slow node:           exchange_write says full: its cursor waits in the image until on_drain
 *   connection lost:     on_gone, at any moment
 * owner: the fleet, thread: the loop.
 */
#ifndef CARDEA_FLEET_STREAM_H
#define CARDEA_FLEET_STREAM_H

#include "common/http/grpc.h"
#include "common/http/session.h"
#include "common/net/addr.h"
#include "common/net/listener.h"
#include "control-plane/fleet/image.h"
#include "control-plane/fleet/node.h"

/* Largest message of a node; bytes sent to one stream in one loop turn. */
enum { STREAM_NODE_MESSAGE_MAX = 256 << 10, STREAM_SLICE = 32 << 10 };

struct stream {
	struct link link;  /* private: in stream_server.streams */
	struct link ready; /* private: in stream_server.ready while it has something to send */
	struct exchange *exchange;    /* private */
	struct stream_server *server; /* private */
	struct node node;	      /* read */
	struct grpc_reader reader;    /* private */
	bool full;		      /* private: waits for on_drain */
	bool ended;		      /* private: trailers were sent */
	char ip[ADDR_TEXT_SIZE];      /* read */
	int64_t cert_not_after;	      /* read: of the node's certificate, seconds since 1970 */
};

struct stream_events {
	/* The node said hello: stream->node is filled in. */
	void (*on_hello)(struct stream *s, void *arg);
	/* The node acked or nacked: see stream->node. */
	void (*on_answer)(struct stream *s, void *arg);
	void (*on_hit)(struct stream *s, const char *challenge_id, uint32_t count, void *arg);
	/* The node begins to tell of targets anew. */
	void (*on_targets_begin)(struct stream *s, void *arg);
	void (*on_target)(struct stream *s, const struct target_report *r, void *arg);
	/* A client of the node asked for a name that has no certificate there; client: its address,
	 * "" when it is not known. May be NULL. */
	void (*on_want)(struct stream *s, const char *host, const char *client, void *arg);
	/* Last call, for streams that said hello. The stream is freed when it returns. */
	void (*on_gone)(struct stream *s, void *arg);
	void *arg;
};

struct stream_conf {
	const struct listen_list *listen;
	const char *cert_file, *key_file, *ca_file;
	uint64_t keepalive_ms;
	unsigned max_connections; /* 0: no limit */
};

struct stream_server {
	struct http_server http; /* private, as all but streams */
	struct image *image;
	struct stream_events events;
	struct listener *listeners[LISTEN_ENTRIES_MAX];
	size_t listener_count;
	SSL_CTX *tls;
	struct link streams; /* read: struct stream */
	struct link ready;
	struct timer turn;
	struct timer farewell;
	unsigned farewell_left; /* checks until connections are cut off */
	uint64_t sent;		/* bytes since the start */
	unsigned open;		/* listeners and timers not closed yet */
	bool closing;
	void (*closed)(void *arg);
	void *arg;
};

/* Listens. The image is borrowed. After an error stream_server_close is still to be called. */
int stream_server_start(struct stream_server *s, struct loop *l, const struct stream_conf *c,
			struct image *image, const struct stream_events *ev,
			struct err *e) must_check;
/* Ends every stream with UNAVAILABLE (on_gone is called for each, later) and stops listening;
 * connections that the nodes do not close within a second are cut off. */
void stream_server_close(struct stream_server *s, void (*closed)(void *arg), void *arg);
/* Where the first listener listens. */
const struct addr *stream_server_addr(const struct stream_server *s);
/* The node may have something to send now. */
void stream_kick(struct stream *s);
/* Tells the node what becomes of a name that it asked for. */
void stream_answer_want(struct stream *s, const struct want_answer *a);
/* Ends the call with a gRPC status; what is in the image changes nothing any more. */
void stream_end(struct stream *s, enum grpc_status status, const char *message);

#endif
