/* What the files of worker share; nobody else includes it. */
#ifndef CARDEA_DP_WORKER_INTERNAL_H
#define CARDEA_DP_WORKER_INTERNAL_H

#include <stdatomic.h>

#include "common/http/session.h"
#include "common/net/listener.h"
#include "data-plane/plugins/revocation.h"
#include "data-plane/proxy/admission.h"
#include "data-plane/proxy/proxy.h"
#include "data-plane/proxy/stream.h"
#include "data-plane/tls/ctx.h"
#include "data-plane/tls/held.h"
#include "data-plane/tls/hello_queue.h"
#include "data-plane/worker.h"

enum { WORKER_PORTS_MAX = 4 * LISTEN_ENTRIES_MAX };

enum worker_state {
	WORKER_RUNNING,
	WORKER_DRAINING,
	WORKER_CLOSING,
	WORKER_STOPPED,
	WORKER_STATES
};

struct worker;

/* One address of one worker. */
struct port {
	struct worker *worker;
	const struct listen_entry *entry;
	int fd; /* of the listener; read by the sync thread before it orders a drain */
	struct listener *listener; /* NULL: closed */
	struct http_server http;
	bool is_stream;
	struct stream_port stream; /* is_stream */
	struct tls_ctx *tls;	   /* NULL: plain; borrowed from the worker */
};

/* owner: workers, thread: its own, but what is marked. */
struct worker {
	struct workers *all;
	unsigned number;
	uv_thread_t thread; /* the sync thread's */
	bool started;	    /* the sync thread's */
	uv_mutex_t lock;    /* of gone */
	bool gone;	    /* its loop takes no more posts */
	bool woken;	    /* a post for workers_wake is on its way; under lock */
	enum worker_state state;
	struct loop loop;
	bool loop_made;
	uv_prepare_t prepare;
	struct timer drain;
	uint64_t drain_until_ns;
	struct parsed_cache *parsed;
	struct ticket_keys *tickets;
	struct tls_ctx *tls[2]; /* [http2] */
	struct hello_queue hellos;
	struct held held;
	struct admission admission;
	struct hits hits;
	struct origin_tls_cache *origins;
	struct proxy proxy;
	struct targets *targets;
	struct revocation *revocation;
	struct stream_server streams;
	struct port ports[WORKER_PORTS_MAX];
	size_t port_count;
	struct link conns; /* every client connection, also in its handshake */
	size_t accepted;   /* since the last count, and the count */
	uint64_t counted_ns;
	size_t accepted_total;
	/* Read by any thread; arrivals: accepted_total. */
	atomic_size_t connections, arrivals, waiting, held_count, pool_idle, pool_busy,
		pool_connecting;
	atomic_size_t stream_count, tunnel_count;
};

struct workers {
	struct workers_conf conf;
	struct edge edge;
	size_t max_per_worker;
	size_t count, running;
	struct worker *items[];
};

/* worker.c */
/* Last before the loop polls. */
void worker_on_prepare(uv_prepare_t *h);
void worker_on_drain_check(struct timer *t);

/* worker_open.c */
/* Makes the loop and everything on it, and listens. After an error worker_close. */
int worker_open(struct worker *w, const unsigned char *ticket_fallback, struct err *e) must_check;
/* There were more workers before: clients may wait in their sockets. */
int workers_open_leftovers(struct workers *all, struct err *e) must_check;
/* Closes what is open and lets the loop finish. */
void worker_close(struct worker *w);

#endif
