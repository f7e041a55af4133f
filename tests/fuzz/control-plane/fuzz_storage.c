/* What a storage gives: replies of Redis, and Kong's keys and values in them. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "control-plane/acme/kong_layout.h"
#include "control-plane/acme/resp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void replies(struct str s)
{
	struct resp p, item;
	size_t used = 0, items = 0;

	while (resp_read(s, 4096, &p, &used, NULL) == 0 && used > 0) {
		struct str rest = p.text;

		if (used > s.len)
			abort();
		while (p.kind == RESP_LIST && resp_next(&rest, &item))
			items++;
		if (p.kind == RESP_LIST && items != p.items)
			abort();
		items = 0;
		s = str_sub(s, used, s.len);
	}
}

static void values(struct str s)
{
	struct buf a = BUF_INIT, b = BUF_INIT, again = BUF_INIT, c = BUF_INIT, d = BUF_INIT;
	int64_t at = -1;

	if (kong_read_certificate(s, &a, &b, NULL) == 0 &&
	    (kong_write_certificate(&again, buf_str(&a), buf_str(&b), NULL) != 0 ||
	     kong_read_certificate(buf_str(&again), &c, &d, NULL) != 0 ||
	     !str_eq(buf_str(&a), buf_str(&c)) || !str_eq(buf_str(&b), buf_str(&d))))
		abort();
	buf_clear(&a);
	if (kong_read_host(s, &a, &at, NULL) == 0 && at < 0)
		abort();
	buf_clear(&a);
	if (kong_read_account_key(s, &a, NULL) == 0 && a.len == 0)
		abort();
	buf_deinit(&a);
	buf_deinit(&b);
	buf_deinit(&c);
	buf_deinit(&d);
	buf_deinit(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct str s = {(const char *)data, size};
	struct kong_key k = kong_key_read(s);
	struct buf email = BUF_INIT;
	struct str uri;

	if (k.kind >= KONG_KINDS || k.name.len > s.len)
		abort();
	if (kong_account_read(k.name, &uri, &email, NULL) == 0 &&
	    (uri.len == 0 || email.len == 0 || uri.len > k.name.len))
		abort();
	buf_deinit(&email);
	replies(s);
	values(s);
	return 0;
}
