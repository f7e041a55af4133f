/* Limits on the frames of an HTTP/2 peer (reliability-goals section 2, rows H2-01 to H2-06): reads
 * the frame headers as bytes pass, before nghttp2 sees them, because 1.52 has no limits for most of
 * them. No I/O. Thread: the owner. */
#ifndef CARDEA_HTTP_H2_GUARD_H
#define CARDEA_HTTP_H2_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "common/core/str.h"

/* So many at once, so many more per second. */
struct h2_bucket {
	uint64_t left;	/* private: in 1/1000 */
	uint64_t at_ms; /* private */
	uint32_t burst; /* read */
	uint32_t rate;	/* read: per second */
};

enum {
	H2_RESET_BURST = 1000,
	H2_RESET_RATE = 33,
	H2_NOISE_BURST = 1000,
	H2_NOISE_RATE = 100,
	H2_CONTINUATIONS = 8,
	H2_UPDATES_PER_DATA = 10,
	H2_UPDATES_SPARE = 1000,
};

struct h2_guard {
	struct h2_bucket resets; /* private: RST_STREAM both ways */
	struct h2_bucket noise;	 /* private: frames that do no work */
	size_t skip;		 /* private: bytes until the next frame header */
	unsigned have;		 /* private: bytes of a header that is split */
	unsigned continuations;	 /* private: in the block that is open */
	uint64_t updates_left;	 /* private: WINDOW_UPDATEs still allowed */
	unsigned char header[9]; /* private */
};

/* preface: a client's magic comes first. */
void h2_guard_init(struct h2_guard *g, bool preface, uint64_t now_ms);
/* The row that these bytes break ("H2-01" ...), or NULL. After a row was returned the connection is
 * to end; further calls are allowed. */
const char *h2_guard_feed(struct h2_guard *g, struct str bytes, uint64_t now_ms);
/* We reset a stream for an error of the peer ("made you reset"): the row or NULL. */
const char *h2_guard_reset_sent(struct h2_guard *g, uint64_t now_ms);
/* We sent a DATA frame: allows more WINDOW_UPDATEs. */
void h2_guard_data_sent(struct h2_guard *g);

#endif
