/* Redis' protocol (RESP2): commands out, replies in. Pure: no copies, no memory; what a reply has
 * lies in the bytes it was read from. Source: Redis protocol specification. Thread: any. */
#ifndef CARDEA_ACME_RESP_H
#define CARDEA_ACME_RESP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/core/err.h"
#include "common/core/str.h"

enum resp_kind { RESP_STATUS, RESP_ERROR, RESP_NUMBER, RESP_TEXT, RESP_NULL, RESP_LIST };
enum { RESP_LINE_MAX = 4096, RESP_ITEMS_MAX = 1 << 20, RESP_DEPTH_MAX = 4 };

struct resp {
	enum resp_kind kind;
	struct str text; /* of RESP_STATUS, RESP_ERROR, RESP_TEXT; RESP_LIST: its items' bytes */
	int64_t number;	 /* RESP_NUMBER */
	size_t items;	 /* RESP_LIST */
};

/* Reads the reply that bytes begin with; *used: its length, 0 when more has to come. ERR_INVALID:
 * these are no replies; ERR_LIMIT: a text of more than text_max bytes is announced, or a list of
 * more than RESP_ITEMS_MAX. */
int resp_read(struct str bytes, size_t text_max, struct resp *out, size_t *used,
	      struct err *e) must_check;
/* The next item of a list, taken off *rest, which begins as the list's text; false: none is left.
 */
bool resp_next(struct str *rest, struct resp *out);
/* Appends a command of n words. */
int resp_command(struct buf *out, const struct str *words, size_t n, struct err *e) must_check;

#endif
