/* What DNS says about a name, asked as an authority does: no hosts file, no search list. By the
 * system's stub resolver (libresolv); it blocks, so it runs on the pool. Thread: any. */
#ifndef CARDEA_ACME_DNS_H
#define CARDEA_ACME_DNS_H

#include <stddef.h>

#include "common/core/err.h"
#include "common/core/str.h"
#include "common/net/addr.h"

enum {
	DNS_ADDRESSES_MAX = 16, /* of a name; more are left out */
	DNS_ANSWER_MAX = 4096,	/* bytes */
};

struct dns_addresses {
	struct addr items[DNS_ADDRESSES_MAX];
	size_t count;
};

/* An IPv4 address with a port or without (53). ERR_INVALID says what is allowed. */
int dns_server_parse(struct str text, struct addr *out, struct err *e) must_check;
/* A and AAAA records of host. server: asked in place of those of /etc/resolv.conf; NULL: those.
 * ERR_INVALID: DNS says that there are none; ERR_UNAVAILABLE: it did not answer. */
int dns_addresses(struct dns_addresses *out, const char *host, const struct addr *server,
		  struct err *e) must_check;
/* The answer (RFC 1035 section 4) about records of a type; *size 0: there are none, or no such
 * name. Otherwise as dns_addresses. */
int dns_ask(const char *host, int type, const struct addr *server,
	    unsigned char answer[DNS_ANSWER_MAX], size_t *size, struct err *e) must_check;
/* Adds the addresses of an answer (RFC 1035 section 4) of this type. ERR_INVALID: it is broken. */
int dns_read(struct dns_addresses *out, const unsigned char *answer, size_t size, int type,
	     struct err *e) must_check;

#endif
