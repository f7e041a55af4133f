/* One import: lines in, batches into the database, one revision each, in order.
 *
 *   import_feed ─▶ lines ─▶ chunks ─(pool: checked, several at a time)─▶ batch
 *
 *   gathering ─▶ asking ─▶ looking up ─▶ resolving ─▶ storing ─▶ clearing ─▶ gathering ...
 *    (batch full) (pool)    (database)     (pool)    (database)   (pool)
 *                    ▲          └───────▶ pausing ◀─────┘ (the database is away)
 *                    └──────────────────────┘
 *
 * A batch is stored whole, or not at all: one refused row refuses its batch, and the report names
 * it. What was stored stays stored: the import may be sent again, and rows that would not change
 * are left alone. Memory: two batches and what is being checked; import_feed says when it has
 * enough. Nothing here takes the loop for more than a few milliseconds. owner: its request. Thread:
 * the loop.
 */
#ifndef CARDEA_BULK_IMPORT_H
#define CARDEA_BULK_IMPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/core/err.h"
#include "common/core/str.h"
#include "common/net/loop.h"
#include "control-plane/store/store.h"

enum {
	IMPORT_BATCH_DEFAULT = 5000, /* lines of a batch */
	IMPORT_BATCH_MAX = 10000,
	IMPORT_LINE_MAX = 4 << 20, /* bytes of a line */
	IMPORT_ERRORS_MAX = 1000,  /* refused rows that are named; the others are counted */
};

struct import;

struct import_conf {
	struct loop *loop;
	struct store *store;
	unsigned batch_lines; /* 1 to IMPORT_BATCH_MAX */
	size_t line_max;
	bool verify;		       /* tls_certificate_verify: model/verification.h */
	const struct store_note *note; /* of each transaction; copied; NULL: none */
};

struct import_events {
	/* More bytes are welcome after import_feed returned false. */
	void (*on_room)(void *arg);
	/* All is done, or nothing more can be: the last event. import_report is still good. */
	void (*on_done)(void *arg);
	void *arg;
};

/* How far it is. */
struct import_counts {
	uint64_t bytes;	  /* taken */
	uint64_t lines;	  /* read, without blank ones */
	uint64_t stored;  /* lines whose batch was stored */
	uint64_t changed; /* rows that this made or changed, with names of certificates */
	uint64_t refused;
	uint64_t skipped; /* right by themselves, but not their batch */
	uint64_t batches, batches_refused;
	uint64_t revision; /* after the last batch that was stored; 0: none was */
};

/* Begins; nothing happens before import_feed. */
int import_start(struct import **out, const struct import_conf *c, const struct import_events *ev,
		 struct err *e) must_check;
/* Takes the bytes. last: there are no more. False: enough for now; wait for on_room. */
bool import_feed(struct import *i, struct str bytes, bool last);
/* Any time. */
void import_counts(const struct import *i, struct import_counts *out);
/* {"lines","stored","changed","refused","skipped","batches","batches_refused","revision",
 * "errors":[{"line","entity","message","fields"}],"errors_omitted"}, and "message" when it ended
 * before its end. New reference; NULL when out of memory. */
json_t *import_report(const struct import *i);
/* Why it ended before its end: ERR_NONE when it did not. */
const struct err *import_stopped(const struct import *i);
/* Ends it before its end: what came and is not stored yet is dropped; on_done follows. */
void import_stop(struct import *i, const struct err *why);
/* From now on no event is given. A batch that is being stored may still be stored. Frees itself
 * once nothing is under way; released (may be NULL) is called then. Instead of on_done, or after
 * it. */
void import_end(struct import *i, void (*released)(void *arg), void *arg);

#endif
