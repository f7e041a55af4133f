#include "data-plane/tables/expiry.h"

#include <time.h>

const unsigned expiry_days[EXPIRY_SPANS] = {0, 7, 14, 30};

enum {
	DER_INTEGER = 0x02,
	DER_UTC_TIME = 0x17,
	DER_GENERALIZED_TIME = 0x18,
	DER_SEQUENCE = 0x30,
	DER_VERSION = 0xA0,
	DAY_S = 24 * 3600,
};

/* Takes one element off: its tag and content. */
static bool take(struct str *rest, unsigned char *tag, struct str *content)
{
	size_t at = 2, len, bytes;

	if (rest->len < 2)
		return false;
	*tag = (unsigned char)rest->ptr[0];
	len = (unsigned char)rest->ptr[1];
	if (len >= 0x80) {
		bytes = len & 0x7F;
		if (bytes == 0 || bytes > 4 || rest->len < at + bytes)
			return false;
		for (len = 0; bytes > 0; bytes--)
			len = len << 8 | (unsigned char)rest->ptr[at++];
	}
	if (len > rest->len - at)
		return false;
	*content = str_sub(*rest, at, at + len);
	*rest = str_sub(*rest, at + len, rest->len);
	return true;
}

static bool expect(struct str *rest, unsigned char wanted, struct str *content)
{
	unsigned char tag;

	return take(rest, &tag, content) && tag == wanted;
}

/* n digits at p. */
static bool digits(const char *p, size_t n, int *out)
{
	*out = 0;
	for (size_t i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return false;
		*out = *out * 10 + (p[i] - '0');
	}
	return true;
}

/* "YYMMDDHHMMSSZ" or "YYYYMMDDHHMMSSZ" (RFC 5280 4.1.2.5). */
static bool parse_time(unsigned char tag, struct str text, int64_t *out)
{
	size_t year_digits = tag == DER_UTC_TIME ? 2 : 4;
	const char *p = text.ptr + year_digits;
	struct tm t = {0};
	int year;

	if ((tag != DER_UTC_TIME && tag != DER_GENERALIZED_TIME) || text.len != year_digits + 11 ||
	    text.ptr[text.len - 1] != 'Z' || !digits(text.ptr, year_digits, &year) ||
	    !digits(p, 2, &t.tm_mon) || !digits(p + 2, 2, &t.tm_mday) ||
	    !digits(p + 4, 2, &t.tm_hour) || !digits(p + 6, 2, &t.tm_min) ||
	    !digits(p + 8, 2, &t.tm_sec))
		return false;
	if (tag == DER_UTC_TIME)
		year += year < 50 ? 2000 : 1900;
	t.tm_year = year - 1900;
	t.tm_mon--;
	*out = timegm(&t);
	return true;
}

int expiry_of(struct str der, int64_t *out)
{
	struct str cert, tbs, part, validity;
	unsigned char tag;

	if (!expect(&der, DER_SEQUENCE, &cert) || !expect(&cert, DER_SEQUENCE, &tbs) ||
	    !take(&tbs, &tag, &part))
		return -1;
	/* Version 1 has no version. */
	if (tag == DER_VERSION && !take(&tbs, &tag, &part))
		return -1;
	if (tag != DER_INTEGER || !expect(&tbs, DER_SEQUENCE, &part) ||
	    !expect(&tbs, DER_SEQUENCE, &part) || !expect(&tbs, DER_SEQUENCE, &validity) ||
	    !take(&validity, &tag, &part) || !take(&validity, &tag, &part))
		return -1;
	return parse_time(tag, part, out) ? 0 : -1;
}

struct walk {
	int64_t now;
	struct expiry_counts *out;
};

static_assert(offsetof(struct cert, version) == 0, "the cast below");

static bool count(struct str key, const struct version *v, void *arg)
{
	/* version is its first member. */
	const struct cert *c = (const struct cert *)(const void *)v;
	struct walk *w = arg;
	int64_t first = INT64_MAX, end;

	(void)key;
	for (size_t i = 0; i < c->count; i++) {
		struct str leaf = {(const char *)c->parts[i].leaf, c->parts[i].leaf_len};

		if (expiry_of(leaf, &end) == 0 && end < first)
			first = end;
	}
	for (size_t i = 0; i < EXPIRY_SPANS; i++)
		w->out->within[i] +=
			first != INT64_MAX && first <= w->now + (int64_t)expiry_days[i] * DAY_S;
	return true;
}

void expiry_count(const struct certs *c, uint64_t generation, int64_t now_s,
		  struct expiry_counts *out)
{
	struct walk w = {now_s, out};

	*out = (struct expiry_counts){0};
	vmap_each(&c->certs, generation, count, &w);
}
