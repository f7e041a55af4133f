/* Follows the change feed on a session of its own. Private to control-plane/store/. owner: store,
 * thread: the loop. */
#ifndef CARDEA_STORE_FEED_H
#define CARDEA_STORE_FEED_H

#include "common/net/loop.h"
#include "common/pki/seal.h"
#include "control-plane/store/sql.h"
#include "control-plane/store/store.h"

struct feed;

struct feed_conf {
	const char *conninfo;
	uint64_t timeout_ms;
	const struct keyring *keyring;
	const struct sql *sql; /* borrowed, in reference order */
	size_t sql_count;
	uint64_t poll_ms;
};

/* Waits for feed_release, then connects. */
int feed_create(struct feed **out, struct loop *l, const struct feed_conf *c,
		const struct feed_events *ev, struct err *e) must_check;
/* The schema is there: begin. */
void feed_release(struct feed *f);
/* When (clock_mono_ns) the database was asked for what was given last as all there is; 0: never. */
uint64_t feed_seen_ns(const struct feed *f);
void feed_close(struct feed *f, void (*closed)(void *arg), void *arg);

#endif
