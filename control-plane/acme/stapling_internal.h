/* The insides of stapling, for stapling*.c.
 *
 *   claiming --(rows)--> reading --> asking --> judging --> saving
 *      |                 (pool)   (responders)   (pool)       |
 *      '--(none)--> over <------------------------------------'
 *
 * owner: the ACME engine, thread: the loop, but for what the pool does while nobody else looks.
 */
#ifndef CARDEA_ACME_STAPLING_INTERNAL_H
#define CARDEA_ACME_STAPLING_INTERNAL_H

#include "common/core/codec.h"
#include "common/core/list.h"
#include "common/metrics/metrics.h"
#include "control-plane/acme/engine.h"
#include "control-plane/acme/staple_question.h"

enum { STAPLING_CLAIM_MAX = 100, STAPLING_MD5_SIZE = 33 };

enum staple_plan {
	STAPLE_PLAN_NOTHING, /* nobody can be asked */
	STAPLE_PLAN_KEEP,    /* the stored response is young enough */
	STAPLE_PLAN_ASK,
	STAPLE_PLAN_BROKEN, /* it cannot be read here */
};

/* One leaf. */
struct staple_ask {
	struct link link; /* on batch.waiting, asked or done */
	struct staple_batch *batch;
	char id[UUID_TEXT_SIZE]; /* of the certificate */
	bool alt;
	char md5[STAPLING_MD5_SIZE]; /* of the PEM text: whether it is still that one */
	unsigned failures;	     /* in a row, before this one */
	char *pem, *stored;	     /* stored NULL: none */
	struct staple_question question;
	enum staple_plan plan;
	struct fetch *fetch;
	struct err err; /* why not */
	unsigned status;
	int64_t retry_after_ms;
	struct buf body;
	enum staple_result result; /* of STAPLE_PLAN_ASK */
	struct staple_answer answer;
};

enum staple_phase {
	STAPLE_CLAIMING,
	STAPLE_READING,
	STAPLE_ASKING,
	STAPLE_JUDGING,
	STAPLE_SAVING,
	STAPLE_PHASES,
};

struct staple_batch {
	struct acme *acme;
	enum staple_phase phase;
	struct work work;
	struct link waiting, asked, done; /* struct staple_ask */
	unsigned in_flight;
	size_t changes; /* certificates that get another response, or lose theirs */
};

enum staple_watch {
	STAPLE_WATCH_FAILING,
	STAPLE_WATCH_REVOKED,
	STAPLE_WATCH_MISSING,
	STAPLE_WATCHES
};

struct stapling {
	struct fetcher *fetcher;    /* made by the first tick; NULL: none yet */
	struct staple_batch *batch; /* NULL: none is under way */
	bool counting;
	uint64_t count_at_ns;
	struct metric_series *results[STAPLE_RESULTS]; /* NULL without metrics */
	struct metric_series *watched[STAPLE_WATCHES];
};

/* stapling_save.c: stores what came of all, and calls done with the batch. Nothing is stored of
 * those whose certificate is another one by now. */
void stapling_save(struct staple_batch *b, store_done done);

#endif
