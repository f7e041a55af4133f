/* The PROXY protocol, versions 1 and 2 (reliability-goals PP-04 to PP-08): the header that a load
 * balancer puts before everything else on a connection, to say whom it speaks for. Pure. Thread:
 * any.
 *
 *     v1: "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n"
 *     v2: | signature 12 | version, command 1 | family 1 | length 2 | addresses | TLVs |
 *                                                                    └── length ──┘
 */
#ifndef CARDEA_NET_PROXY_PROTOCOL_H
#define CARDEA_NET_PROXY_PROTOCOL_H

#include "common/net/addr.h"

enum {
	PROXY_V1_MAX = 107,  /* with CRLF */
	PROXY_V2_START = 16, /* what comes before the addresses */
	PROXY_V2_LENGTH_MAX = 536,
	PROXY_HEADER_MAX = PROXY_V2_START + PROXY_V2_LENGTH_MAX,
	PROXY_WRITTEN_MAX = PROXY_V1_MAX + 1, /* what proxy_header_write makes, with a NUL */
};

enum proxy_version { PROXY_OFF, PROXY_V1, PROXY_V2 };

enum proxy_parse {
	PROXY_MORE, /* a valid beginning */
	PROXY_DONE,
	PROXY_BAD,
};

struct proxy_header {
	size_t len;	/* bytes of the header; what follows is the connection's */
	bool addressed; /* false: UNKNOWN or LOCAL, the addresses of the connection hold (PP-05) */
	struct addr source, destination; /* IPv4 in IPv6 form was made IPv4 */
};

/* bytes: everything that came so far, from the first byte on; at most PROXY_HEADER_MAX of them
 * matter. *out is written when done, *e (ERR_INVALID, may be NULL) when bad. */
enum proxy_parse proxy_header_parse(struct str bytes, struct proxy_header *out, struct err *e);

/* The header that says that a connection comes from source and was made to destination; out has
 * PROXY_WRITTEN_MAX bytes. Addresses of two families go as IPv6 in v2 and as UNKNOWN in v1. Returns
 * the length; 0 for PROXY_OFF. */
size_t proxy_header_write(char *out, enum proxy_version version, const struct addr *source,
			  const struct addr *destination);

#endif
