/* Request ids: 32 random hex digits, as Kong's. Random bytes are fetched for many ids at a time, so
 * that a request costs no call of the generator. owner and thread: the worker. */
#ifndef CARDEA_PROXY_REQUEST_ID_H
#define CARDEA_PROXY_REQUEST_ID_H

#include <stddef.h>

#include "common/core/err.h"

enum { REQUEST_ID_BYTES = 16, REQUEST_ID_TEXT = 32, REQUEST_ID_POOL = 128 };

struct request_ids {
	unsigned char bytes[REQUEST_ID_POOL * REQUEST_ID_BYTES]; /* private */
	size_t used;						 /* private */
};

/* Fails when there is no randomness at all. */
int request_ids_init(struct request_ids *p, struct err *e) must_check;
/* Writes REQUEST_ID_TEXT digits and a NUL. When the generator fails later on, ids repeat: they
 * serve to find log lines, nothing more. */
void request_ids_next(struct request_ids *p, char out[REQUEST_ID_TEXT + 1]);

#endif
