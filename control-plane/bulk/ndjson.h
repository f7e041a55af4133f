/* Splits a stream of bytes into lines, with a limit to their length. What lies in a line is of no
 * interest here. Pure. Thread: the owner. */
#ifndef CARDEA_BULK_NDJSON_H
#define CARDEA_BULK_NDJSON_H

#include <stdbool.h>
#include <stdint.h>

#include "common/core/err.h"
#include "common/core/str.h"

struct ndjson {
	size_t line_max;    /* bytes without the line feed; set by init */
	uint64_t number;    /* read: lines that were begun, with the empty ones */
	struct buf partial; /* private: what came of a line whose end did not */
	bool begun;	    /* private: a line has begun */
	bool skipping;	    /* private: the rest of a line that is too long */
	bool given;	    /* private: partial was given out */
};

struct ndjson_line {
	uint64_t number; /* 1-based */
	struct str text; /* good until the next call; without line feed and carriage return */
	bool too_long;	 /* text is empty */
};

/* Nothing came yet. */
void ndjson_init(struct ndjson *s, size_t line_max);
/* Frees what was kept. */
void ndjson_deinit(struct ndjson *s);
/* The next line that is not blank, out of what was kept and *in, which becomes what is left. last:
 * nothing comes after *in, so that its end is a line's end. 1: a line; 0: more bytes are needed, or
 * all lines were given; -1: out of memory. */
int ndjson_next(struct ndjson *s, struct str *in, bool last, struct ndjson_line *out,
		struct err *e) must_check;

#endif
