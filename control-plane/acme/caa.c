#include "control-plane/acme/caa.h"

#include <arpa/nameser.h>
#include <stdio.h>
#include <string.h>

#include "control-plane/acme/dns.h"

enum { FLAG_CRITICAL = 128, HEAD = 2 };

/* --- an answer --- */

static bool is_printable(const unsigned char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] < 0x20 || p[i] > 0x7e)
			return false;
	return true;
}

/* false: the record is broken. */
static bool read_tag(struct caa_record *r, const unsigned char *p, size_t n)
{
	if (n == 0 || n >= sizeof(r->tag))
		return false;
	for (size_t i = 0; i < n; i++) {
		bool upper = p[i] >= 'A' && p[i] <= 'Z';

		if (!upper && !(p[i] >= 'a' && p[i] <= 'z') && !(p[i] >= '0' && p[i] <= '9'))
			return false;
		r->tag[i] = (char)(upper ? p[i] - 'A' + 'a' : p[i]);
	}
	return true;
}

/* Section 4.1: flags, the tag with its length, the value. */
static int add(struct caa *out, const unsigned char *p, size_t n, struct err *e)
{
	struct caa_record *r = &out->items[out->count];
	size_t tag = n > HEAD ? p[1] : 0, value;

	if (out->count == CAA_RECORDS_MAX)
		return err_set(e, ERR_LIMIT, "more than %d CAA records", CAA_RECORDS_MAX);
	memset(r, 0, sizeof(*r));
	if (n < HEAD || tag > n - HEAD || !read_tag(r, p + HEAD, tag))
		return err_set(e, ERR_INVALID, "a CAA record is broken");
	r->critical = (p[0] & FLAG_CRITICAL) != 0;
	value = n - HEAD - tag;
	if (value < sizeof(r->value) && is_printable(p + HEAD + tag, value))
		memcpy(r->value, p + HEAD + tag, value);
	out->count++;
	return 0;
}

int caa_read(struct caa *out, const unsigned char *answer, size_t size, struct err *e)
{
	ns_msg message;
	ns_rr rr;

	if (size > DNS_ANSWER_MAX || ns_initparse(answer, (int)size, &message) != 0)
		return err_set(e, ERR_INVALID, "the answer of DNS is broken");
	for (int i = 0; i < ns_msg_count(message, ns_s_an); i++) {
		if (ns_parserr(&message, ns_s_an, i, &rr) != 0)
			return err_set(e, ERR_INVALID, "the answer of DNS is broken");
		if (ns_rr_type(rr) == ns_t_caa &&
		    add(out, ns_rr_rdata(rr), ns_rr_rdlen(rr), e) != 0)
			return -1;
	}
	return 0;
}

/* --- asking --- */

int caa_find(struct caa *out, const char *host, const struct addr *server, struct err *e)
{
	unsigned char answer[DNS_ANSWER_MAX];
	size_t n;

	memset(out, 0, sizeof(*out));
	for (const char *at = host; at && *at; at = strchr(at, '.') ? strchr(at, '.') + 1 : NULL) {
		if (dns_ask(at, ns_t_caa, server, answer, &n, e) != 0)
			return -1;
		if (n > 0 && caa_read(out, answer, n, e) != 0)
			return -1;
		if (out->count > 0) {
			snprintf(out->at, sizeof(out->at), "%s", at);
			return 0;
		}
	}
	return 0;
}

/* --- what they say --- */

static bool is_tag(const struct caa_record *r, const char *tag)
{
	return strcmp(r->tag, tag) == 0; /* not secret */
}

/* The parameters of RFC 8657; others are none of ours to judge. */
static bool allows_parameter(const struct caa_issuer *i, struct str name, struct str value)
{
	struct str one;

	if (str_ieq(name, STR("accounturi")))
		return !i->account || str_eq(value, str_from(i->account));
	if (!str_ieq(name, STR("validationmethods")))
		return true;
	while (str_split(&value, ',', &one))
		if (str_eq(str_trim(one), str_from(i->method)))
			return true;
	return false;
}

static bool is_identity(const struct caa_issuer *i, struct str name)
{
	struct str all = str_from(i->identities), one;

	while (name.len > 0 && str_split(&all, ' ', &one))
		if (str_ieq(one, name))
			return true;
	return false;
}

/* issue-value (section 4.2): a domain name, then parameters, each behind a semicolon. */
static bool names_issuer(const struct caa_record *r, const struct caa_issuer *i)
{
	struct str rest = str_from(r->value), part, name;
	bool first = true, named = false;

	while (str_split(&rest, ';', &part)) {
		if (first)
			named = is_identity(i, str_trim(part));
		else if (!str_split(&part, '=', &name))
			continue;
		else if (!allows_parameter(i, str_trim(name), str_trim(part)))
			return false;
		first = false;
	}
	return named;
}

/* One with a tag that is not known must not be passed over (section 4.1). */
static bool is_barred(const struct caa_record *r)
{
	static const char *const known[] = {"issue",	 "issuewild",	 "iodef",
					    "issuemail", "contactemail", "contactphone"};

	for (size_t i = 0; i < array_len(known); i++)
		if (is_tag(r, known[i]))
			return false;
	return r->critical;
}

bool caa_allows(const struct caa *c, const struct caa_issuer *i)
{
	bool any = false, named = false;

	for (size_t n = 0; n < c->count; n++) {
		const struct caa_record *r = &c->items[n];

		if (is_barred(r))
			return false;
		if (!is_tag(r, "issue"))
			continue;
		any = true;
		named = named || names_issuer(r, i);
	}
	return !any || named;
}

int caa_text(const struct caa *c, struct buf *out, struct err *e)
{
	for (size_t i = 0; i < c->count; i++)
		if (buf_addf(out, e, "%s%s%s \"%s\"", i ? ", " : "",
			     c->items[i].critical ? "critical " : "", c->items[i].tag,
			     c->items[i].value) != 0)
			return -1;
	return 0;
}
