/* Tells the control plane what health checks say of targets: everything when a stream opens, then
 * what changes, gathered for a moment. Bounded: when more changes wait than fit, everything is told
 * again instead. owner: the daemon, thread: sync. */
#ifndef CARDEA_SYNC_TARGET_FEED_H
#define CARDEA_SYNC_TARGET_FEED_H

#include "common/net/loop.h"
#include "data-plane/sync/health.h"

enum { TARGET_FEED_PENDING = 1024, TARGET_FEED_MS = 20 };

struct target_feed;

struct target_feed_options {
	struct loop *loop;
	/* Sends an encoded message and frees it; false: there is no stream. */
	bool (*send)(struct buf *message, void *arg);
	void *arg;
};

/* Says nothing before target_feed_restart. */
int target_feed_create(struct target_feed **out, const struct target_feed_options *o,
		       struct err *e) must_check;
/* Memory goes when the loop has run. NULL is fine. */
void target_feed_close(struct target_feed *f);
/* Where everything is read from; borrowed. */
void target_feed_set_health(struct target_feed *f, struct health *h);
/* For health_options.on_change; arg is the feed. */
void target_feed_on_change(const struct health_report *r, void *arg);
/* A stream opened: it knows nothing. */
void target_feed_restart(struct target_feed *f);

#endif
