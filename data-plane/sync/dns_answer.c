#include "data-plane/sync/dns_answer.h"

#include <string.h>

enum { HEADER_SIZE = 12, CLASS_IN = 1, POINTERS_MAX = 64, LABEL_MAX = 63 };

struct reader {
	const unsigned char *bytes;
	size_t len, at;
};

struct record {
	char owner[DNS_NAME_SIZE];
	unsigned type, class;
	uint32_t ttl;
	size_t data, data_len; /* where its data begins */
};

static int number(struct reader *r, size_t n, uint32_t *out)
{
	uint32_t v = 0;

	if (r->len - r->at < n)
		return -1;
	for (size_t i = 0; i < n; i++)
		v = v << 8 | r->bytes[r->at++];
	*out = v;
	return 0;
}

/* A name in lower case, without its last dot; compressed names are followed. Bytes of a label that
 * would be read as something else in text are refused. */
static int name(struct reader *r, char out[DNS_NAME_SIZE])
{
	size_t at = r->at, end = 0, n = 0;
	unsigned jumps = 0;

	for (;;) {
		unsigned size;

		if (at >= r->len)
			return -1;
		size = r->bytes[at++];
		if (size == 0)
			break;
		if ((size & 0xC0) == 0xC0) {
			if (at >= r->len || ++jumps > POINTERS_MAX)
				return -1;
			if (end == 0)
				end = at + 1;
			at = (size_t)(size & 0x3F) << 8 | r->bytes[at];
			continue;
		}
		if (size > LABEL_MAX || size > r->len - at || n + size + 2 > DNS_NAME_SIZE)
			return -1;
		if (n > 0)
			out[n++] = '.';
		for (unsigned i = 0; i < size; i++) {
			unsigned char c = r->bytes[at++];

			if (c <= ' ' || c >= 0x7F || c == '.' || c == '\\')
				return -1;
			out[n++] = ascii_lower((char)c);
		}
	}
	out[n] = '\0';
	r->at = end ? end : at;
	return 0;
}

static int record(struct reader *r, struct record *out)
{
	uint32_t type, class, size;

	if (name(r, out->owner) < 0 || number(r, 2, &type) < 0 || number(r, 2, &class) < 0 ||
	    number(r, 4, &out->ttl) < 0 || number(r, 2, &size) < 0 || r->len - r->at < size)
		return -1;
	out->type = type;
	out->class = class;
	out->data = r->at;
	out->data_len = size;
	/* RFC 2181, 8: with the highest bit set it is 0. */
	if (out->ttl & 0x80000000U)
		out->ttl = 0;
	r->at += size;
	return 0;
}

/* A name that is the rest of a record's data: neither shorter nor longer. */
static int last_name(struct reader r, const struct record *x, char out[DNS_NAME_SIZE])
{
	return name(&r, out) == 0 && r.at == x->data + x->data_len ? 0 : -1;
}

static int take_srv(struct dns_record *d, struct reader r, const struct record *x)
{
	uint32_t priority, weight, port;

	if (number(&r, 2, &priority) < 0 || number(&r, 2, &weight) < 0 || number(&r, 2, &port) < 0)
		return -1;
	d->priority = (uint16_t)priority;
	d->weight = (uint16_t)weight;
	d->port = (uint16_t)port;
	return last_name(r, x, d->target);
}

static int take_data(struct dns_record *d, enum dns_type type, const struct reader *r,
		     const struct record *x)
{
	struct reader data = {r->bytes, r->len, x->data};

	*d = (struct dns_record){.priority = 0};
	if (type == DNS_SRV)
		return take_srv(d, data, x);
	if (x->data_len != (type == DNS_A ? 4 : 16))
		return -1;
	if (type == DNS_A) {
		d->addr.u.in4.sin_family = AF_INET;
		memcpy(&d->addr.u.in4.sin_addr, r->bytes + x->data, 4);
	} else {
		d->addr.u.in6.sin6_family = AF_INET6;
		memcpy(&d->addr.u.in6.sin6_addr, r->bytes + x->data, 16);
	}
	return 0;
}

/* One walk over the answers: the records of `owner`, or where its CNAME leads. */
static int walk(struct dns_answer *out, enum dns_type type, struct reader r, uint32_t answers,
		char owner[DNS_NAME_SIZE], bool *moved)
{
	char next[DNS_NAME_SIZE] = "";
	struct record x;

	*moved = false;
	for (uint32_t i = 0; i < answers; i++) {
		if (record(&r, &x) < 0)
			return -1;
		if (x.class != CLASS_IN || strcmp(x.owner, owner) != 0)
			continue;
		if (x.type == DNS_CNAME &&
		    last_name((struct reader){r.bytes, r.len, x.data}, &x, next) == 0)
			*moved = true;
		else if (x.type != (unsigned)type || out->count == DNS_RECORDS_MAX)
			continue;
		else if (take_data(&out->records[out->count], type, &r, &x) < 0)
			return -1;
		else
			out->count++;
		if (x.ttl < out->ttl)
			out->ttl = x.ttl;
	}
	if (*moved)
		memcpy(owner, next, sizeof(next));
	return 0;
}

int dns_answer_parse(struct dns_answer *out, enum dns_type type, const unsigned char *bytes,
		     size_t len, struct err *e)
{
	struct reader r = {bytes, len, 4};
	uint32_t questions, answers, skip;
	char owner[DNS_NAME_SIZE];
	bool moved = true;

	out->count = 0;
	out->ttl = UINT32_MAX;
	if (len < HEADER_SIZE || number(&r, 2, &questions) < 0 || number(&r, 2, &answers) < 0 ||
	    number(&r, 4, &skip) < 0 || questions != 1 || name(&r, owner) < 0 ||
	    number(&r, 4, &skip) < 0)
		return err_set(e, ERR_INVALID, "not a DNS answer");
	for (unsigned n = 0; moved && out->count == 0 && n <= DNS_CNAMES_MAX; n++) {
		if (walk(out, type, r, answers, owner, &moved) < 0) {
			out->count = 0;
			return err_set(e, ERR_INVALID, "a DNS answer that is malformed");
		}
	}
	if (out->count == 0)
		return err_set(e, ERR_NOT_FOUND, "no such record");
	return 0;
}
