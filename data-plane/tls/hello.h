/* The server name of a ClientHello that is not answered here (RFC 8446 4.1.2, RFC 6066 3): what
 * tls_passthrough routes are chosen by. Pure; every byte is looked at once, however it comes
 * (TLS-14). Thread: any. */
#ifndef CARDEA_TLS_HELLO_H
#define CARDEA_TLS_HELLO_H

#include "common/core/err.h"
#include "common/core/str.h"

enum {
	HELLO_MAX = 64 << 10, /* of the connection's bytes */
	HELLO_NAME_MAX = 255,
	HELLO_RECORD_HEADER = 5,
};

enum hello_result {
	HELLO_MORE, /* a valid beginning */
	HELLO_DONE,
	HELLO_BAD, /* no ClientHello, or a broken one: OpenSSL would refuse it too */
};

struct hello {
	size_t sni_len;		  /* 0: none */
	char sni[HELLO_NAME_MAX]; /* lower case, without a dot at its end */
};

struct hello_reader {
	struct buf message;			   /* private: the handshake's bytes so far */
	size_t taken;				   /* private: of the connection's bytes */
	size_t left;				   /* private: of the record */
	unsigned char header[HELLO_RECORD_HEADER]; /* private */
	size_t header_len;			   /* private */
};

/* Allocates nothing. */
void hello_reader_init(struct hello_reader *r);
void hello_reader_deinit(struct hello_reader *r);
/* bytes: all that came so far, from the first on; those seen before are the same. *out is written
 * when done, *e (may be NULL) when bad: ERR_INVALID, ERR_LIMIT (over HELLO_MAX), or ERR_MEMORY. */
enum hello_result hello_read(struct hello_reader *r, struct str bytes, struct hello *out,
			     struct err *e);

#endif
