/* Health of upstreams' addresses: kept by the sync thread (sync/health.h), read by workers, which
 * tell in return what became of their requests.
 *
 * An address without a mark is healthy and nothing counts against it, so that only trouble costs
 * memory. Thread: each call says whose. */
#ifndef CARDEA_TABLES_HEALTH_H
#define CARDEA_TABLES_HEALTH_H

#include <stdatomic.h>
#include <uv.h>

#include "common/net/addr.h"
#include "common/net/loop.h"
#include "data-plane/tables/entities.h"
#include "data-plane/tables/live_map.h"

enum {
	HEALTH_EPOCHS = 256,
	HEALTH_EVENTS_MAX = 4096, /* that wait for the sync thread; more are dropped and counted */
	HEALTH_KEY_SIZE = ENTITY_ID_SIZE + 18
};

struct health_view {
	bool unhealthy;
	bool watched; /* something counts against or for it: successes matter, too */
};

enum health_event_kind {
	HEALTH_HTTP, /* an answer with this status came */
	HEALTH_TCP_FAILURE,
	HEALTH_TIMEOUT,
};

struct health_event {
	unsigned char upstream[ENTITY_ID_SIZE];
	struct addr addr;
	enum health_event_kind kind;
	unsigned status;
};

struct health_board {
	struct live_map marks;			/* private; map.count may be read */
	_Atomic uint32_t epochs[HEALTH_EPOCHS]; /* private */
	uv_mutex_t lock;			/* of what follows; private */
	struct health_event *events, *spare;	/* HEALTH_EVENTS_MAX of each */
	size_t event_count;
	struct loop *loop;
	void (*on_events)(const struct health_event *events, size_t n, void *arg);
	void *arg;
	bool posted;
	_Atomic uint64_t dropped; /* read: events that found no room */
};

/* The calling thread is the writer: registered with RCU. */
int health_board_init(struct health_board *b, struct err *e) must_check;
/* No reader may be left. */
void health_board_deinit(struct health_board *b);

/* Another number whenever the health of one of its addresses changed (or of another upstream's, now
 * and then). Thread: any. */
uint32_t health_epoch(const struct health_board *b, const unsigned char upstream[ENTITY_ID_SIZE]);
/* Thread: any that is registered; goes online. */
struct health_view health_find(const struct health_board *b,
			       const unsigned char upstream[ENTITY_ID_SIZE], const struct addr *a);
/* Copies. Thread: any. */
void health_post(struct health_board *b, const struct health_event *ev);

/* --- the sync thread --- */

/* Who takes what is posted, on l; NULL: nobody any more. */
void health_serve(struct health_board *b, struct loop *l,
		  void (*on_events)(const struct health_event *events, size_t n, void *arg),
		  void *arg);
/* Without memory the old mark stays: -1. */
int health_mark(struct health_board *b, const unsigned char upstream[ENTITY_ID_SIZE],
		const struct addr *a, struct health_view v, struct err *e) must_check;
/* Upstream, IP and port as bytes: for maps. */
void health_key(unsigned char out[HEALTH_KEY_SIZE], const unsigned char upstream[ENTITY_ID_SIZE],
		const struct addr *a);

#endif
