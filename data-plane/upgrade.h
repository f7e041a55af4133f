/* Upgrade of the binary: a new process takes the listening sockets, the old one drains.
 *
 *     old:  upgrade_start ─▶ (new process runs) ─▶ on_ready ─▶ drains and ends
 *                                  └─ ended, or upgrade_ms over ─▶ on_failed ─▶ goes on
 *     new:  handover_take ─▶ starts with those sockets ─▶ handover_ready
 *
 * The sockets are passed as open descriptors, so the kernel's queues stay; their addresses stand in
 * the environment variable CARDEA_HANDOVER. owner: daemon, thread: sync.
 */
#ifndef CARDEA_DP_UPGRADE_H
#define CARDEA_DP_UPGRADE_H

#include "common/net/loop.h"
#include "common/net/sockets.h"

struct upgrade;

struct upgrade_conf {
	char **argv;	     /* of this process: the new one gets the same */
	uint64_t upgrade_ms; /* to become ready in; then the new process is killed */
	void (*on_ready)(void *arg);
	void (*on_failed)(const struct err *why, void *arg);
	void *arg;
};

/* Starts the new process with duplicates of the sockets; they stay the caller's. One of the
 * callbacks follows. */
int upgrade_start(struct upgrade **out, struct loop *l, const struct sockets *sockets,
		  const struct upgrade_conf *c, struct err *e) must_check;
/* Frees later; a process that is not ready yet is killed. No callback comes any more. NULL is fine.
 */
void upgrade_close(struct upgrade *u);

/* In the new process. */
struct handover {
	struct sockets sockets; /* what was not taken is closed by handover_ready */
	int ready;		/* private: descriptor; -1: nothing was handed over */
};
/* Out of the environment, before the configuration is read; takes the variable out of it. Nothing
 * was handed over: empty. ERR_INVALID: the variable is not what this makes. */
int handover_take(struct handover *h, struct err *e) must_check;
/* This process serves. Harmless when nothing was handed over, also twice. */
void handover_ready(struct handover *h);

#endif
