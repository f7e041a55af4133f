/* gRPC's length-prefixed messages (gRPC over HTTP/2, "Length-Prefixed-Message"), without I/O.
 * Thread: the owner. */
#ifndef CARDEA_HTTP_GRPC_H
#define CARDEA_HTTP_GRPC_H

#include "common/core/err.h"
#include "common/core/str.h"

/* Canonical status codes that the stream uses. */
enum grpc_status {
	GRPC_OK = 0,
	GRPC_INVALID_ARGUMENT = 3,
	GRPC_RESOURCE_EXHAUSTED = 8,
	GRPC_UNIMPLEMENTED = 12,
	GRPC_INTERNAL = 13,
	GRPC_UNAVAILABLE = 14,
};

enum { GRPC_PREFIX_SIZE = 5, GRPC_MESSAGE_MAX = 4 << 20 };

/* Appends prefix and message. */
int grpc_frame(struct buf *out, struct str message, struct err *e) must_check;
/* Writes the 5-byte prefix of a message of n bytes. */
void grpc_prefix(unsigned char out[GRPC_PREFIX_SIZE], size_t n);

/* Collects bytes and cuts them into messages. */
struct grpc_reader {
	struct buf pending; /* private */
	size_t max;	    /* set: largest message; 0: GRPC_MESSAGE_MAX */
};
void grpc_reader_init(struct grpc_reader *r, size_t max);
void grpc_reader_deinit(struct grpc_reader *r);
/* Calls on_message for each complete message in order (bytes live during the call); stops when it
 * returns -1 and passes its error on. ERR_INVALID: compressed flag set (no compression was
 * negotiated); ERR_LIMIT: message too large. */
int grpc_feed(struct grpc_reader *r, struct str bytes,
	      int (*on_message)(struct str message, void *arg, struct err *e), void *arg,
	      struct err *e) must_check;

#endif
