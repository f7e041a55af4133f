/* Which of the fields that this side sends are worth a place in the peer's HPACK table (RFC 7541
 * section 4). A value that is new in each message (ids, times, sizes) only pushes out what comes
 * again, and nghttp2 compares a field with all values of its name that are in the table: with a
 * request's id in each answer that alone is a tenth of what a request costs.
 *
 * The first value of a name goes into the table; another one only when it has come H2_INDEX_AGAIN
 * more times in a row. It remembers digests: what looks the same by
 * mistake is put into the table, and nothing worse happens. owner: one direction of a connection.
 */
#ifndef CARDEA_HTTP_H2_INDEX_H
#define CARDEA_HTTP_H2_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "common/core/str.h"

enum {
	H2_INDEX_SLOTS = 64, /* names that are remembered, at most; a power of two */
	H2_INDEX_AGAIN = 2,
};

/* All zero: nothing was sent yet. */
struct h2_index {
	struct h2_index_slot {
		uint16_t name; /* 0: free */
		uint8_t value;
		uint8_t again;	 /* how often that value was repeated, up to H2_INDEX_AGAIN */
	} slots[H2_INDEX_SLOTS]; /* private */
};

/* Whether to index this field; remembers it. Name in lower case. */
bool h2_index_worth(struct h2_index *x, struct str name, struct str value);

#endif
