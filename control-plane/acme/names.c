#include "control-plane/acme/names.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "control-plane/acme/acme.h"

enum { NAME_SIZE = 254 };

static int compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

static int add_sorted(struct buf *out, char (*each)[NAME_SIZE], size_t n, struct err *e)
{
	size_t begin = out->len;

	qsort(each, n, sizeof(*each), compare);
	for (size_t i = 0; i < n; i++) {
		if (i > 0 && strcmp(each[i], each[i - 1]) == 0)
			continue;
		if (buf_addf(out, e, "%s%s", out->len > begin ? " " : "", each[i]) != 0)
			return -1;
	}
	return 0;
}

int names_make(struct buf *out, const struct str *names, size_t n, struct err *e)
{
	char(*each)[NAME_SIZE];
	int rc = 0;

	if (n == 0 || n > NAMES_MAX)
		return err_set(e, ERR_LIMIT, "a certificate can have 1 to %d names, not %zu",
			       NAMES_MAX, n);
	each = calloc(n, sizeof(*each));
	if (!each)
		return err_memory(e, "names");
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = acme_name(names[i], each[i], e);
	if (rc == 0)
		rc = add_sorted(out, each, n, e);
	free(each);
	return rc;
}

size_t names_count(struct str set)
{
	size_t n = set.len > 0;

	for (size_t at = str_find(set, ' ', 0); at < set.len; at = str_find(set, ' ', at + 1))
		n++;
	return n;
}

bool names_has(struct str set, struct str name)
{
	struct str one = STR_NONE;

	while (str_split(&set, ' ', &one))
		if (str_eq(one, name))
			return true;
	return false;
}

bool names_has_wildcard(struct str set)
{
	struct str one = STR_NONE;

	while (str_split(&set, ' ', &one))
		if (str_starts(one, STR("*.")))
			return true;
	return false;
}

struct str names_first(struct str set, struct str *rest)
{
	size_t at = str_find(set, ' ', 0);

	*rest = at < set.len ? str_sub(set, at + 1, set.len) : STR("");
	return str_sub(set, 0, at);
}

void names_sni(struct str name, char out[NAMES_REVERSE_SIZE])
{
	static const char digits[] = "0123456789abcdef";
	unsigned char b[16];
	size_t used = 0;

	snprintf(out, NAMES_REVERSE_SIZE, "%.*s", (int)name.len, name.ptr);
	if (inet_pton(AF_INET, out, b) == 1) {
		snprintf(out, NAMES_REVERSE_SIZE, "%u.%u.%u.%u.in-addr.arpa", b[3], b[2], b[1],
			 b[0]);
	} else if (inet_pton(AF_INET6, out, b) == 1) {
		for (size_t i = sizeof(b); i-- > 0;) {
			out[used++] = digits[b[i] & 15];
			out[used++] = '.';
			out[used++] = digits[b[i] >> 4];
			out[used++] = '.';
		}
		snprintf(out + used, NAMES_REVERSE_SIZE - used, "ip6.arpa");
	}
}
