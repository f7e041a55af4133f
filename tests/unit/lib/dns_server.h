/* A DNS server for tests on a loopback UDP port, on the test's loop: answers out of a table that
 * the test changes at any time. */
#ifndef CARDEA_TESTS_DNS_SERVER_H
#define CARDEA_TESTS_DNS_SERVER_H

#include <uv.h>

#include "data-plane/sync/dns_answer.h"

enum { DNS_SERVER_ROWS = 32, DNS_REFUSED_SILENTLY = 99 };

struct dns_row {
	const char *name; /* lower case; NULL: not used */
	enum dns_type type;
	uint32_t ttl;
	/* Addresses; "PRIORITY WEIGHT PORT TARGET"; or a name for DNS_CNAME. */
	const char *data[4];
};

struct dns_server {
	uv_udp_t udp;
	char address[32]; /* read: for dns_resolver */
	struct dns_row rows[DNS_SERVER_ROWS];
	unsigned rcode; /* for every question; 0: as the table says; DNS_REFUSED_SILENTLY: no answer
			 */
	unsigned questions;
	char received[65536]; /* private */
};

/* Fails the test when it cannot. */
void dns_server_start(struct dns_server *s, uv_loop_t *loop);
/* Gone when the loop has run. */
void dns_server_stop(struct dns_server *s);
/* Replaces what it says of a name; all of a name and type stand in one row. data NULL: nothing. */
void dns_server_set(struct dns_server *s, const char *name, enum dns_type type, uint32_t ttl,
		    const char *a, const char *b);
/* An answer to the question for name: for tests of the parser. Returns its length. */
size_t dns_server_answer(const struct dns_server *s, const unsigned char *question, size_t len,
			 unsigned char *out, size_t size);
/* The question. */
size_t dns_question(const char *name, enum dns_type type, unsigned char *out);

#endif
