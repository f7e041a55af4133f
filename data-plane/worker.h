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
#include "data-plane/config.h"
#include "data-plane/proxy/hits.h"
#include "data-plane/proxy/stats.h"
#include "data-plane/tables/tables.h"

struct workers;

struct workers_conf {
	const struct dp_config *config;
	const struct tables *tables;
	struct stats *stats;
	struct loop *sync; /* the sync thread's: what follows is called there */
	void (*on_hits)(const struct hit *h, size_t n, void *arg);
	/* All are stopped: workers_free may be called. */
	void (*on_stopped)(void *arg);
	void *arg;
};

/* Binds everything, then starts the threads. Thread: sync. */
int workers_start(struct workers **out, const struct workers_conf *c, struct err *e) must_check;
/* Begins to drain; on_stopped follows after drain_ms at the latest. A second call with less time
 * shortens it. Thread: sync. */
void workers_drain(struct workers *w, uint64_t drain_ms);
/* Only after on_stopped. NULL is fine. */
void workers_free(struct workers *w);
/* Connections that are open, about. Thread: any. */
size_t workers_connections(const struct workers *w);
/* Connections that were ever accepted, about. Thread: any. */
size_t workers_arrivals(const struct workers *w);

#endif
