/* How fast one address may ask one CA: a limit that all control planes behind the address share, so
 * it is kept in the database (acme_buckets), from where each takes a handful at a time. What is not
 * used within a second is lost. owner: a client, thread: the loop. */
#ifndef CARDEA_ACME_PACE_H
#define CARDEA_ACME_PACE_H

#include <stdbool.h>
#include <stdint.h>

#include "control-plane/acme/limit.h"
#include "control-plane/store/store.h"

struct pace {
	struct store *store; /* private, as all here */
	struct limit limit;
	char key[1400];
	unsigned tokens;
	uint64_t tokens_at_ns;
	uint64_t next_ns; /* nothing to be had before */
	bool asking;
	unsigned outstanding;
	bool closing;
	void (*ready)(void *arg);
	void (*closed)(void *arg);
	void *arg;
};

/* ready(arg) is called, later, when something may be had that could not be before; store and
 * strings are borrowed and copied. -1: the key is too long. */
int pace_init(struct pace *p, struct store *s, const struct limit *l, enum limit_kind k,
	      const char *egress, const char *directory, void (*ready)(void *arg), void *arg,
	      struct err *e) must_check;
/* True: one request may go out now. False: ready comes later, or try again after pace_wait_ms;
 * `queued` says how many would go. */
bool pace_take(struct pace *p, unsigned queued);
/* How long it is of no use to ask again; 0: until ready. */
uint64_t pace_wait_ms(const struct pace *p);
/* Whether the database is being asked: its owner waits for closed. */
bool pace_close(struct pace *p, void (*closed)(void *arg));

#endif
