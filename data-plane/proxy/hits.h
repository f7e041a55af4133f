/* Answered ACME validations, counted by a worker and handed to the sync thread in batches: at most
 * one batch per worker is on its way. owner and thread: the worker, unless said otherwise.
 */
#ifndef CARDEA_PROXY_HITS_H
#define CARDEA_PROXY_HITS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/net/loop.h"

enum { HITS_ID_SIZE = 16, HITS_MAX = 64 };

struct hit {
	unsigned char challenge_id[HITS_ID_SIZE];
	uint32_t count;
};

struct hits {
	struct loop *to;					   /* set: the sync thread's */
	void (*deliver)(const struct hit *h, size_t n, void *arg); /* set; thread: of `to` */
	void *arg;						   /* set */
	struct hit items[HITS_MAX];				   /* private */
	size_t count;						   /* private */
	struct hit sent[HITS_MAX]; /* private: the sync thread's while in_flight */
	size_t sent_count;	   /* private: the same */
	atomic_bool in_flight;	   /* private */
	uint64_t dropped;	   /* read: hits of more challenges at once than fit */
};

/* Nothing counted; allocates nothing. deliver runs on `to`. */
void hits_init(struct hits *h, struct loop *to,
	       void (*deliver)(const struct hit *h, size_t n, void *arg), void *arg);
/* Counts one. */
void hits_add(struct hits *h, const unsigned char challenge_id[HITS_ID_SIZE]);
/* Sends what was counted unless a batch is still on its way. h lives until that is delivered. */
void hits_flush(struct hits *h);

#endif
