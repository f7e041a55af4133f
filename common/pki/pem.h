/* PEM (RFC 7468) in and out, with limits. Bytes only: what is inside is for cert.h and key.h.
 * Thread: any. */
#ifndef CARDEA_PKI_PEM_H
#define CARDEA_PKI_PEM_H

#include "common/core/err.h"
#include "common/core/str.h"

enum { PEM_TEXT_MAX = 1 << 20, PEM_BLOCKS_MAX = 64 };

struct pem_block {
	char label[48]; /* "CERTIFICATE" */
	struct buf der; /* secret when the label ends with "PRIVATE KEY" */
	size_t line;	/* of its BEGIN line, 1-based: for messages */
};

struct pem_blocks {
	struct pem_block items[PEM_BLOCKS_MAX];
	size_t count;
};

/* Reads every block; text before, between and after blocks is skipped; CRLF, tabs, trailing spaces
 * are fine. ERR_INVALID names block number, line and what is wrong (encrypted keys, headers, bad
 * base64, missing END); ERR_LIMIT for size and count. On success the caller calls pem_free. This
 * must be fast: bulk imports read 100,000 of them. */
int pem_parse(struct pem_blocks *out, struct str text, struct err *e) must_check;
void pem_free(struct pem_blocks *b);
/* Appends one block. */
int pem_write(struct buf *out, const char *label, struct str der, struct err *e) must_check;

#endif
