/* The worker threads: each has its own loop, its own listening sockets (SO_REUSEPORT), its own TLS
 * contexts and caches. They share the tables, which they read, and counters.
 *
 *     running ──▶ draining ──▶ closing ──▶ stopped
 *        │  TERM: listeners closed, idle connections closed, requests finish
 *        └────────────── the drain time is over: what is left is closed
 *
 * A worker is offline in RCU whenever it may block (tables/rcu.h).
 * Failure paths: an address cannot be bound, a default certificate cannot be read: workers_start
 * fails and nothing is left open; no memory for a connection: it is refused and counted.
 */
#ifndef CARDEA_DP_WORKER_H
#define CARDEA_DP_WORKER_H

#include "common/net/loop.h"
#include "common/net/sockets.h"
#include "data-plane/backends.h"
#include "data-plane/config.h"
#include "data-plane/proxy/edge.h"
#include "data-plane/proxy/hits.h"
#include "data-plane/proxy/stats.h"
#include "data-plane/tables/tables.h"
#include "data-plane/tables/wishes.h"

struct workers;

struct workers_conf {
	const struct dp_config *config;
	const struct tables *tables;
	struct stats *stats;
	struct backends *backends; /* may be NULL: only numeric hosts are found */
	/* Sockets of those that served before: taken instead of new ones. May be NULL. */
	struct sockets *sockets;
	struct wish_board *wishes; /* with on_demand; may be NULL */
	struct loop *sync;	   /* the sync thread's: what follows is called there */
	void (*on_hits)(const struct hit *h, size_t n, void *arg);
	/* All are stopped: workers_free may be called. */
	void (*on_stopped)(void *arg);
	void *arg;
};

/* Binds everything, then starts the threads. Thread: sync. */
int workers_start(struct workers **out, const struct workers_conf *c, struct err *e) must_check;
/* Adds every listening socket, for those that serve next. Before workers_drain. Thread: sync. */
int workers_sockets(const struct workers *w, struct sockets *out, struct err *e) must_check;
/* Begins to drain; on_stopped follows after drain_ms at the latest. A second call with less time
 * shortens it. Thread: sync. */
void workers_drain(struct workers *w, uint64_t drain_ms);
/* Every worker looks at the handshakes that it holds for certificates. Thread: sync. */
void workers_wake(struct workers *w);
/* Only after on_stopped. NULL is fine. */
void workers_free(struct workers *w);

/* Sums over all workers, about. */
struct workers_facts {
	size_t connections;			      /* open */
	size_t arrivals;			      /* ever accepted */
	size_t streams, tunnels;		      /* of connections, open */
	size_t hellos_waiting;			      /* handshakes that wait for their turn */
	size_t held;				      /* and for a certificate that is asked for */
	size_t pool_idle, pool_busy, pool_connecting; /* connections to upstreams */
};
/* Thread: any. */
void workers_facts(const struct workers *w, struct workers_facts *out);
/* What the workers share at their edge; measured and reopened by the sync thread. */
struct edge *workers_edge(struct workers *w);

#endif
