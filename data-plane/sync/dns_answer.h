/* DNS answers (RFC 1035, 3596, 2782) out of the bytes that a server sent: records of one type for
 * the name that was asked for, behind CNAMEs too, and how long they hold. Pure. Thread: any. */
#ifndef CARDEA_SYNC_DNS_ANSWER_H
#define CARDEA_SYNC_DNS_ANSWER_H

#include "common/core/err.h"
#include "common/net/addr.h"

/* Their numbers on the wire. */
enum dns_type { DNS_A = 1, DNS_CNAME = 5, DNS_AAAA = 28, DNS_SRV = 33 };

enum {
	DNS_NAME_SIZE = 256,
	DNS_RECORDS_MAX = 256, /* what is more is left out */
	DNS_CNAMES_MAX = 16
};

struct dns_record {
	struct addr addr; /* A, AAAA: port 0 */
	/* SRV */
	uint16_t priority, weight, port;
	char target[DNS_NAME_SIZE]; /* lower case */
};

struct dns_answer {
	uint32_t ttl; /* of the shortest-lived record on the way, seconds */
	size_t count;
	struct dns_record records[DNS_RECORDS_MAX];
};

/* ERR_NOT_FOUND: no record of that type. ERR_INVALID: not an answer, or cut short. *out is written
 * in both cases. */
int dns_answer_parse(struct dns_answer *out, enum dns_type type, const unsigned char *bytes,
		     size_t len, struct err *e) must_check;

#endif
