/* What h1_parse said about some bytes, as one line of text, and tables of such lines.
 *
 * Messages are joined by " | ": `METHOD target host` (host "-": none), then ` name:value` per
 * field, marks (!close !te !expect !upgrade !405), ` =content`, ` ~name:value` per trailer. An
 * unfinished message ends with "...", a refused one with `status reason`. */
#ifndef CARDEA_TESTS_H1_TRANSCRIPT_H
#define CARDEA_TESTS_H1_TRANSCRIPT_H

#include "common/http/h1_parse.h"

struct h1_row {
	const char *name; /* row of reliability-goals section 3, and the case */
	struct str input;
	const char *want;
};

/* Appends the transcript of `input` given in pieces that end at `cut`, and after each byte behind
 * it when each_byte. */
void h1_transcript(struct buf *out, struct str input, size_t cut, bool each_byte,
		   const struct h1_limits *limits);
/* Fails the test, naming the case, unless input gives `want` whole, cut in two at every place, and
 * byte by byte. */
void h1_check(const char *name, struct str input, struct str want, const struct h1_limits *limits);
/* h1_check for each row alone, pipelined, and after messages with bodies. */
void h1_check_rows(const struct h1_row *rows, size_t count);

#endif
