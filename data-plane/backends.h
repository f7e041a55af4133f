/* What the sync thread does for upstreams, and what it shares of it with workers: addresses of
 * names, health, the rules for addresses. owner: the daemon, thread: sync. */
#ifndef CARDEA_DP_BACKENDS_H
#define CARDEA_DP_BACKENDS_H

#include "common/net/loop.h"
#include "data-plane/config.h"
#include "data-plane/proxy/targets.h"
#include "data-plane/tables/tables.h"

struct backends;

struct backends_options {
	struct loop *loop;
	const struct dp_config *config;
	const struct tables *tables;
	/* Sends a message to the control plane and frees it; false: there is no stream. */
	bool (*send)(struct buf *message, void *arg);
	void *arg;
};

/* What *o points to outlives it; the tables' writer is the calling thread. On error backends_free
 * is still to be called, when the loop has run. */
int backends_create(struct backends **out, const struct backends_options *o,
		    struct err *e) must_check;
/* HUP: what health checks' TLS is made with is made anew; the rest is fixed at the start. Errors
 * name the file, and nothing changed. */
int backends_reload(struct backends *b, const struct dp_config *c, struct err *e) must_check;
/* Of a worker whose loop is l; it is free before the backends are. Thread: any, before workers
 * run. */
int backends_targets(struct targets **out, struct backends *b, struct loop *l,
		     struct err *e) must_check;
/* A revision was applied, or a stream opened or closed. */
void backends_update(struct backends *b, bool connected);
/* Now and then. */
void backends_tick(struct backends *b);
struct stats;
/* Before metrics are shown. */
void backends_render(const struct backends *b, struct stats *s);
/* Closes what is on its loop: done when the loop has run. Workers are gone. NULL is fine. */
void backends_close(struct backends *b);
/* After that, and when the loop is gone. NULL is fine. */
void backends_free(struct backends *b);

#endif
