/* Any bytes as a DNS server's answer, asked for each type: an error that is known, or records with
 * names that end, as often as it is read. */
#include <stdlib.h>
#include <string.h>

#include "data-plane/sync/dns_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void need(bool ok)
{
	if (!ok)
		abort();
}

static void check_record(const struct dns_record *r, enum dns_type type)
{
	sa_family_t family = r->addr.u.sa.sa_family;
	size_t n = strnlen(r->target, DNS_NAME_SIZE);

	if (type == DNS_A)
		need(family == AF_INET && addr_port(&r->addr) == 0);
	if (type == DNS_AAAA)
		need(family == AF_INET6 && addr_port(&r->addr) == 0);
	need(n < DNS_NAME_SIZE);
	for (size_t i = 0; i < n; i++)
		need(r->target[i] < 'A' || r->target[i] > 'Z');
}

static void parse(enum dns_type type, const uint8_t *data, size_t size)
{
	static struct dns_answer one, two;
	struct err e = ERR_INIT;
	int rc = dns_answer_parse(&one, type, data, size, &e);

	need(rc == dns_answer_parse(&two, type, data, size, NULL));
	need(one.count <= DNS_RECORDS_MAX && one.count == two.count);
	if (rc != 0) {
		need(e.kind == ERR_NOT_FOUND || e.kind == ERR_INVALID);
		return;
	}
	need(one.count > 0 && one.ttl == two.ttl);
	for (size_t i = 0; i < one.count; i++)
		check_record(&one.records[i], type);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum dns_type types[] = {DNS_A, DNS_AAAA, DNS_SRV};

	for (size_t i = 0; i < array_len(types); i++)
		parse(types[i], data, size);
	return 0;
}
