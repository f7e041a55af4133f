/* Questions to DNS servers by c-ares, on a loop: servers of resolv.conf or given ones, tries, time
 * limits, TCP for long answers.
 *
 *   happy path:  dns_channel_ask ─▶ UDP ─▶ (next server | TCP) ─▶ done(DNS_OK)
 *   failures:    no such name or record: DNS_NOTHING; no server, no answer, an answer that is
 *                refused or malformed: DNS_ERROR; the channel is closed: DNS_CANCELLED
 * owner: its creator, thread: the loop. */
#ifndef CARDEA_SYNC_DNS_CHANNEL_H
#define CARDEA_SYNC_DNS_CHANNEL_H

#include "common/net/loop.h"
#include "data-plane/sync/dns_answer.h"

struct dns_channel;

enum dns_outcome { DNS_OK, DNS_NOTHING, DNS_ERROR, DNS_CANCELLED };

struct dns_channel_options {
	const char *servers; /* "10.0.0.1,[::1]:5353"; NULL: those of resolv.conf */
	uint64_t timeout_ms; /* of the first try; there are two, of each server */
};

/* Whether these can be asked. ERR_INVALID. */
int dns_servers_check(const char *servers, struct err *e) must_check;
/* ERR_INVALID: servers. */
int dns_channel_create(struct dns_channel **out, struct loop *l,
		       const struct dns_channel_options *o, struct err *e) must_check;
/* What is under way ends with DNS_CANCELLED, from inside this call; the memory goes when the loop
 * has run. NULL is fine. */
void dns_channel_close(struct dns_channel *c);
/* done is called once, later, but for dns_channel_close; a is NULL unless DNS_OK. -1: out of
 * memory, done is not called. name: relative ones are completed as resolv.conf says. */
int dns_channel_ask(struct dns_channel *c, const char *name, enum dns_type type,
		    void (*done)(enum dns_outcome o, const struct dns_answer *a, void *arg),
		    void *arg, struct err *e) must_check;

#endif
