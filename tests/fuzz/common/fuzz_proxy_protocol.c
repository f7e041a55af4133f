/* Any bytes as the beginning of a connection: the verdict is the same wherever they are cut, only
 * the header's own bytes count, and addresses survive being written and read again. */
#include <stdlib.h>
#include <string.h>

#include "common/net/proxy_protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_again(const struct proxy_header *h, enum proxy_version version)
{
	char out[PROXY_WRITTEN_MAX];
	struct proxy_header again;
	size_t n = proxy_header_write(out, version, &h->source, &h->destination);

	if (n == 0 || n >= sizeof(out) ||
	    proxy_header_parse((struct str){out, n}, &again, NULL) != PROXY_DONE || again.len != n)
		abort();
	/* Version 1 cannot say that the ends are of two families. */
	if (h->source.u.sa.sa_family != h->destination.u.sa.sa_family && version == PROXY_V1)
		return;
	if (!again.addressed || !addr_same_ip(&again.source, &h->source) ||
	    addr_port(&again.destination) != addr_port(&h->destination))
		abort();
}

/* Once refused or done, more bytes change nothing. */
static void cut(struct str in, enum proxy_parse whole, size_t len)
{
	enum proxy_parse before = PROXY_MORE;

	for (size_t n = 0; n <= in.len && n <= PROXY_HEADER_MAX + 1; n++) {
		struct proxy_header h;
		enum proxy_parse now = proxy_header_parse(str_sub(in, 0, n), &h, NULL);

		if ((before != PROXY_MORE && now != before) || (now == PROXY_DONE && h.len > n) ||
		    (now == PROXY_DONE && h.len != len))
			abort();
		before = now;
	}
	if (in.len <= PROXY_HEADER_MAX && before != whole)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = {(const char *)data, size};
	struct proxy_header h = {0};
	struct err e = ERR_INIT;
	enum proxy_parse r = proxy_header_parse(in, &h, &e);

	if ((r == PROXY_BAD) != (e.kind != ERR_NONE) ||
	    (r == PROXY_MORE && size >= PROXY_HEADER_MAX))
		abort();
	cut(in, r, h.len);
	if (r == PROXY_DONE && h.addressed) {
		write_again(&h, PROXY_V1);
		write_again(&h, PROXY_V2);
	}
	return 0;
}
