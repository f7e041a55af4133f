/* What the sync thread looks at again and again while the daemon runs: memory against its limit,
 * the ends of certificates; and what gauges show of it and of the workers. owner: the daemon,
 * thread: sync. */
#ifndef CARDEA_DP_WATCH_H
#define CARDEA_DP_WATCH_H

#include "data-plane/proxy/stats.h"
#include "data-plane/serving.h"
#include "data-plane/tables/expiry.h"

enum {
	WATCH_EXPIRY_S = 3600,	     /* between counts of the certificates that end soon */
	WATCH_EXPIRY_CHANGED_S = 60, /* when they have changed */
	WATCH_TRIM_MS = 1000,	     /* between attempts to give memory back */
};

struct watch {
	const struct dp_config *config;		/* set */
	struct tables *tables;			/* set */
	struct stats *stats;			/* set */
	struct loop *loop;			/* set */
	const struct serving *serving;		/* set */
	struct timer memory;			/* private */
	uint64_t trimmed_ms;			/* private */
	struct work count;			/* private */
	bool counting, counted;			/* private: count is with libuv; expiry is known */
	uint64_t counted_s, counted_generation; /* private */
	struct expiry_counts expiry;		/* private: count's while counting */
	double cluster_cert_ends;		/* private: Unix time; 0: unknown */
};

/* The fields that are set are set; allocates nothing. */
void watch_init(struct watch *w);
/* About once a second, while clients are served. */
void watch_tick(struct watch *w);
/* Sets the gauges. */
void watch_render(struct watch *w);
/* Before the loop is deinited. */
void watch_close(struct watch *w);

#endif
