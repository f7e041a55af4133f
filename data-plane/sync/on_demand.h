/* Issuance on demand on the sync thread: asks the control plane for certificates of names that
 * clients ask for (WantCertificate), each once for all workers, and remembers what it said.
 *
 *     not known ──wish──▶ asked ──answer: comes──▶ asked, until it is asked again
 *                          │ ├──the certificate came──▶ served, forgotten
 *                          │ └──no answer in ANSWER_S──▶ forgotten
 *                          └──answer: refused──▶ refused until ... ──▶ forgotten
 *
 * A client that asks for too many names is refused as a client: what it asked for may be asked for
 * by others. What was asked when a stream ended is asked again on the next one. Without a stream,
 * and when on_demand_names_max names are asked for, nobody waits: the gate of the board says so.
 * Refused ones make room for new ones, oldest first.
 *
 * Failure paths: no memory for a mark or a message: the name is forgotten, who holds a handshake
 * for it asks again. owner: the daemon, thread: sync. */
#ifndef CARDEA_SYNC_ON_DEMAND_H
#define CARDEA_SYNC_ON_DEMAND_H

#include "common/core/map.h"
#include "data-plane/sync/decode.h"
#include "data-plane/tables/tables.h"
#include "data-plane/tables/wishes.h"

struct on_demand_options {
	struct loop *loop;
	const struct tables *tables;
	size_t names_max; /* on_demand_names_max: asked for or refused, clients too */
	/* Sends a message to the control plane and frees it; false: there is no stream. */
	bool (*send)(struct buf *message, void *arg);
	/* Workers have to look at what they hold. */
	void (*wake)(void *arg);
	/* For metrics. */
	void (*count)(enum wish_event event, void *arg);
	void *arg;
};

struct on_demand {
	struct on_demand_options o; /* private, as all but board */
	struct wish_board board;
	struct map entries;
	struct link asked, refused; /* oldest first */
	size_t asked_count;
	struct timer tick;
	bool connected;
	bool exhausted; /* no memory for another: until the next tick */
};

/* The calling thread is registered with RCU. */
int on_demand_init(struct on_demand *d, const struct on_demand_options *o,
		   struct err *e) must_check;
/* A revision was applied, or a stream opened or closed. */
void on_demand_update(struct on_demand *d, bool connected);
/* What the control plane said. */
void on_demand_answer(struct on_demand *d, const struct want_answer *a);
/* Names whose answer or certificate has not come yet. */
size_t on_demand_asked(const struct on_demand *d);
/* Closes what is on its loop: done when the loop has run. */
void on_demand_close(struct on_demand *d);
/* After that; workers are gone. Also after a failed init. */
void on_demand_deinit(struct on_demand *d);

#endif
