/* Who is live in the whole cluster and what each has acked: the data planes with a stream here, and
 * those of other control planes as the nodes table and their notifications tell. Pure.
 *
 * Live: has a stream, or lost it less than grace ago. Of another control plane: that one also said
 * so within grace + 10 s; a dead control plane says nothing. owner: the fleet, thread: the loop.
 */
#ifndef CARDEA_FLEET_MEMBER_H
#define CARDEA_FLEET_MEMBER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/core/codec.h"
#include "common/core/map.h"

enum { MEMBER_SILENCE_MS = 10000 };

struct members {
	struct map by_id;  /* private */
	uint64_t grace_ms; /* set */
};

struct member_report {
	const char *id;	      /* UUID text */
	const char *hostname; /* NULL: not told */
	uint64_t revision;    /* acked, in this control plane's epoch */
	bool connected;
	bool local;		   /* has, or had, its stream here */
	uint64_t seen_ms;	   /* monotonic: when this was true */
	const char *control_plane; /* UUID text of who says so; NULL: this one */
};

/* grace_ms: so long a data plane without a stream still counts as live. */
void members_init(struct members *m, uint64_t grace_ms);
void members_deinit(struct members *m);
/* What is said about a node with a stream here wins over what others say. That a node left is for
 * the control plane to say which had it: the one it left earlier may find out later. */
int members_report(struct members *m, const struct member_report *r, struct err *e) must_check;
/* The epoch is another one: what was acked in the old one counts for nothing. */
void members_forget_acks(struct members *m);
/* Drops those that are not live any more. */
void members_expire(struct members *m, uint64_t now_ms);
/* How many are live; *missing, if asked for, how many of them have not acked revision. */
uint64_t members_live(const struct members *m, uint64_t revision, uint64_t now_ms,
		      uint64_t *missing);
/* The newest revision that a live one acked. */
uint64_t members_newest(const struct members *m, uint64_t now_ms);
/* [{"id","hostname","revision"}] of those missing; a new reference, NULL: out of memory. */
json_t *members_missing(const struct members *m, uint64_t revision, uint64_t now_ms);

#endif
