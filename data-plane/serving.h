/* What serves clients: the newest set of workers, and older ones that finish what they began.
 *
 *     serving_start ─▶ new workers take the sockets of the old ones ─▶ the old ones drain ─▶ freed
 *
 * A reload is serving_start with another configuration: no socket is closed, so no client that
 * waits to be accepted is lost. Failure path: the new set cannot start: the old one goes on.
 * owner: daemon, thread: sync.
 */
#ifndef CARDEA_DP_SERVING_H
#define CARDEA_DP_SERVING_H

#include "common/core/list.h"
#include "data-plane/worker.h"

struct serving {
	struct workers_conf conf;      /* set: all but config, sockets, on_stopped and arg */
	void (*on_stopped)(void *arg); /* set: after serving_drain, the last set is gone */
	void *arg;		       /* set: for conf.on_hits and on_stopped */
	struct link sets;	       /* private: newest first */
	size_t gone;		       /* private: arrivals of sets that are gone */
	bool draining;		       /* private */
};

/* Nothing serves. What is marked "set" is set after it. */
void serving_init(struct serving *s);
/* Moves *config here on success; it is freed with its workers. sockets may be NULL: those of the
 * newest set are taken, if there is one. */
int serving_start(struct serving *s, struct dp_config *config, struct sockets *sockets,
		  struct err *e) must_check;
/* Of the newest set; NULL: nothing serves. */
const struct dp_config *serving_config(const struct serving *s);
/* Adds the sockets of the newest set. */
int serving_sockets(const struct serving *s, struct sockets *out, struct err *e) must_check;
/* Every set stops within its drain_timeout (now: at once); on_stopped follows. May be called again.
 * Nothing serves: on_stopped does not come, and false is returned. */
bool serving_drain(struct serving *s, bool now);
/* Sums over all sets, about; arrivals: also of those that are gone. */
void serving_facts(const struct serving *s, struct workers_facts *out);
/* Calls fn for what each set shares at its edge. */
void serving_each_edge(const struct serving *s, void (*fn)(struct edge *x, void *arg), void *arg);
/* Every worker looks at the handshakes that it holds for certificates. */
void serving_wake(const struct serving *s);
/* Access logs are opened again: they were moved away. */
void serving_reopen_logs(const struct serving *s);

#endif
