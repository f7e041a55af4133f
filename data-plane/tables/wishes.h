/* Issuance on demand, what workers and the sync thread share: names that clients ask for and that
 * have no certificate here, while a control plane is asked for one (sync/on_demand.h).
 *
 *     worker:  unknown name ─▶ wish_find ─▶ not asked yet: wish_post ─▶ sync thread
 *     sync:    wish_set: asked, or refused until ... ─▶ workers look again
 *
 * A name is a mark, and so is a client that asked for too many of them. What is not marked may be
 * asked for, as long as the gate is open. Thread: each call says whose. */
#ifndef CARDEA_TABLES_WISHES_H
#define CARDEA_TABLES_WISHES_H

#include <stdatomic.h>
#include <uv.h>

#include "common/net/addr.h"
#include "common/net/loop.h"
#include "data-plane/tables/certs.h"
#include "data-plane/tables/live_map.h"

enum {
	WISHES_WAITING_MAX = 1024, /* that wait for the sync thread; for more there is no room */
	WISH_CLIENT_SIZE = 64,
};

enum wish_mark { WISH_NONE, WISH_ASKED, WISH_REFUSED };

struct wish_view {
	enum wish_mark mark;
	uint64_t since_ns; /* ASKED: when, by the monotonic clock */
	uint64_t until_ns; /* REFUSED */
};

struct wish {
	char name[CERTS_NAME_MAX + 1];
	struct addr client;
};

/* Whether control planes can be asked. */
enum wish_gate {
	WISHES_OPEN,
	WISHES_AWAY, /* there is no stream to one */
	WISHES_FULL, /* on_demand_names_max are asked for already */
};

/* What became of wishes: for metrics. */
enum wish_event {
	WISH_EVENT_ASKED,  /* a control plane was */
	WISH_EVENT_COMES,  /* it says that there is an order */
	WISH_EVENT_SERVED, /* the certificate of an asked name came */
	WISH_EVENT_REFUSED,
	WISH_EVENT_CLIENT_REFUSED,
	WISH_EVENT_UNANSWERED,
	WISH_EVENT_REMEMBERED, /* a handshake that asked nobody: refused before */
	WISH_EVENT_AWAY,       /* the same: there is no control plane */
	WISH_EVENT_FULL,       /* the same: on_demand_names_max, or a queue of WISHES_WAITING_MAX */
	WISH_EVENT_HELD,       /* a handshake that waits for the certificate */
	WISH_EVENT_CROWDED,    /* one that does not: on_demand_held_max wait already */
	WISH_EVENT_LATE,       /* one that waited for nothing */
	WISH_EVENTS,
};

struct wish_board {
	struct live_map marks;	    /* private; map.count may be read */
	atomic_int gate;	    /* enum wish_gate; set by the sync thread */
	uv_mutex_t lock;	    /* of what follows; private */
	struct wish *items, *spare; /* WISHES_WAITING_MAX of each */
	size_t count;
	struct loop *loop;
	void (*on_wishes)(const struct wish *w, size_t n, void *arg);
	void *arg;
	bool posted;
};

/* Whether a certificate can be had for such a name: letters, digits and hyphens, two labels at
 * least, the last one no number, no wildcard. name: of certs_normalise. Pure. Thread: any. */
bool wish_name_is_valid(struct str name);
/* As whom a client is counted: its address, IPv6 by its /64 ("2001:db8::/64"). Thread: any. */
void wish_client(const struct addr *a, char out[WISH_CLIENT_SIZE]);

/* The calling thread is the writer: registered with RCU. The gate is WISHES_AWAY. */
int wish_board_init(struct wish_board *b, struct err *e) must_check;
/* No reader may be left. */
void wish_board_deinit(struct wish_board *b);

/* key: a name, or a client (wish_client). What was refused until now is no more. Thread: any that
 * is registered; goes online. */
struct wish_view wish_find(const struct wish_board *b, struct str key, uint64_t now_ns);
/* Copies; false: no room, or nobody takes it. Thread: any. */
bool wish_post(struct wish_board *b, struct str name, const struct addr *client);

/* --- the sync thread --- */

/* Who takes what is posted, on l; NULL: nobody any more. */
void wish_serve(struct wish_board *b, struct loop *l,
		void (*on_wishes)(const struct wish *w, size_t n, void *arg), void *arg);
/* WISH_NONE takes the mark off. Without memory the old one stays: -1. */
int wish_set(struct wish_board *b, struct str key, struct wish_view v, struct err *e) must_check;

#endif
