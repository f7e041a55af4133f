/* The status listener: /status, /status/ready, /metrics. owner: the daemon, thread: sync. */
#ifndef CARDEA_DP_STATUS_H
#define CARDEA_DP_STATUS_H

#include "common/metrics/metrics.h"
#include "common/net/addr.h"
#include "common/net/loop.h"
#include "common/net/sockets.h"
#include "data-plane/sync/change.h"

struct status;

/* What is true now; strings live during the call that asked. */
struct status_facts {
	const char *node_id, *epoch;
	const char *not_ready; /* why; NULL: ready */
	const char *problem;   /* of the stream; "" when there is one */
	uint64_t revision, stale_seconds, connections, certificates, names;
	uint64_t others[CHANGE_KINDS]; /* held, by kind; of routes and what follows it */
	bool connected;
};

struct status_conf {
	struct listen_list listen;
	struct metrics *metrics;
	struct sockets *sockets; /* taken instead of new ones; may be NULL */
	void (*facts)(struct status_facts *out, void *arg);
	void *arg;
};

/* Binds and listens; c is copied. Errors name the address. */
int status_start(struct status **out, struct loop *l, const struct status_conf *c,
		 struct err *e) must_check;
/* Adds its listening sockets, for the process that comes next. */
int status_sockets(const struct status *s, struct sockets *out, struct err *e) must_check;
/* Closes listeners and connections, frees; closed (may be NULL) is called when the last connection
 * is gone: at once, or later. */
void status_close(struct status *s, void (*closed)(void *arg), void *arg);

#endif
