#include "data-plane/proxy/forwarded.h"

#include <string.h>

#include "common/http/syntax.h"

#define SET(name) STR("x-forwarded-" name)

static const struct str for_ = {"x-forwarded-for", 15}, via = {"via", 3};

bool forwarded_replaces(struct str name)
{
	static const struct str names[] = {
		STR("x-forwarded-for"),	 STR("x-forwarded-proto"), STR("x-forwarded-host"),
		STR("x-forwarded-port"), STR("x-forwarded-path"),  STR("x-forwarded-prefix"),
		STR("x-real-ip"),	 STR("x-kong-request-id"), STR("via"),
		STR("forwarded"),
	};

	/* Nearly all fields are told apart by their first byte. */
	if (name.len == 0 || !memchr("xvf", name.ptr[0], 3))
		return false;
	for (size_t i = 0; i < array_len(names); i++)
		if (str_eq(name, names[i]))
			return true;
	return false;
}

static struct str ip_text(char text[ADDR_TEXT_SIZE], const struct addr *addr)
{
	addr_ip_text(addr, text, ADDR_TEXT_SIZE);
	return str_from(text);
}

static struct str address_text(struct arena *a, const struct addr *addr)
{
	char text[ADDR_TEXT_SIZE];

	return arena_str(a, ip_text(text, addr));
}

/* All values that the client sent, then more: "before, more". ptr NULL: out of memory. */
static struct str append(struct arena *a, const struct http_fields *f, struct str name,
			 struct str more)
{
	size_t len = more.len;
	char *text, *p;

	for (size_t i = 0; i < f->count; i++)
		if (str_eq(f->items[i].name, name) && f->items[i].value.len > 0)
			len += f->items[i].value.len + 2;
	if (len == more.len)
		return more;
	text = arena_alloc(a, len);
	if (!text)
		return STR_NONE;
	p = text;
	for (size_t i = 0; i < f->count; i++) {
		struct str value = f->items[i].value;

		if (!str_eq(f->items[i].name, name) || value.len == 0)
			continue;
		memcpy(p, value.ptr, value.len);
		memcpy(p + value.len, ", ", 2);
		p += value.len + 2;
	}
	memcpy(p, more.ptr, more.len);
	return (struct str){text, len};
}

/* Kong appends the hop to what came and, when nothing came, names the client. */
static struct str forwarded_for(struct arena *a, const struct forwarded *f, struct str real_ip)
{
	struct str came = http_fields_get(&f->request->fields, for_);
	struct str last = real_ip;

	if (came.len > 0 && !addr_same_ip(&f->client->hop, &f->client->address))
		last = address_text(a, &f->client->hop);
	return last.ptr ? append(a, &f->request->fields, for_, last) : STR_NONE;
}

/* A trusted hop's value of a field that Cardea does not look into, else its own. */
static struct str believed(const struct forwarded *f, struct str name, struct str own)
{
	struct str came =
		f->client->trusted ? http_fields_get(&f->request->fields, name) : STR_NONE;

	return came.len > 0 ? came : own;
}

static struct str via_entry(enum http_version v)
{
	switch (v) {
	case HTTP_2:
		return STR("2 " FORWARDED_PSEUDONYM);
	case HTTP_10:
		return STR("1.0 " FORWARDED_PSEUDONYM);
	default:
		return STR("1.1 " FORWARDED_PSEUDONYM);
	}
}

struct said {
	struct str name, value;
	bool left_out; /* when empty */
};

static char *put(char *to, struct str s)
{
	if (s.len > 0)
		memcpy(to, s.ptr, s.len);
	return to + s.len;
}

/* Written as the lines that they will be sent in: see http_is_line. */
static int add_lines(struct http_fields *out, struct str *lines, struct arena *a,
		     const struct said *fields, size_t n)
{
	bool safe = true;
	size_t len = 0;
	char *text, *to;

	for (size_t i = 0; i < n; i++)
		len += fields[i].name.len + fields[i].value.len + 4;
	text = to = arena_raw(a, len);
	if (!text)
		return -1;
	for (size_t i = 0; i < n; i++) {
		struct str name = fields[i].name, value = fields[i].value;

		if (fields[i].left_out && value.len == 0)
			continue;
		if (!value.ptr)
			return -1;
		safe = safe && http_is_field_value(value);
		name.ptr = to;
		to = put(put(to, fields[i].name), STR(": "));
		value.ptr = to;
		to = put(put(to, fields[i].value), STR("\r\n"));
		if (http_fields_add(out, a, name, value) < 0)
			return -1;
	}
	*lines = safe ? (struct str){text, (size_t)(to - text)} : STR_NONE;
	return 0;
}

int forwarded_add(struct http_fields *out, struct str *lines, struct arena *a,
		  const struct forwarded *f)
{
	const struct http_request *r = f->request;
	const struct client *c = f->client;
	char ip[ADDR_TEXT_SIZE], port[STR_DECIMAL_SIZE];
	struct str real_ip = ip_text(ip, &c->address);
	const struct said fields[] = {
		{for_, forwarded_for(a, f, real_ip), false},
		{SET("proto"), c->scheme, false},
		{SET("host"), c->host, true},
		{SET("port"), str_decimal(port, c->port), false},
		{SET("path"), believed(f, SET("path"), r->path), true},
		{SET("prefix"), believed(f, SET("prefix"), f->prefix), true},
		{STR("x-real-ip"), real_ip, false},
		{via, append(a, &r->fields, via, via_entry(r->version)), false},
		{STR("x-kong-request-id"), f->id, true},
	};

	return add_lines(out, lines, a, fields, array_len(fields));
}

/* An entry is "[protocol/]version name[:port] [(comment)]". */
static bool names_us(struct str entry)
{
	struct str name = STR_NONE, rest = str_trim(entry), version;

	if (str_split(&rest, ' ', &version) && rest.ptr) {
		rest = str_trim(rest);
		(void)str_split(&rest, ' ', &name);
	}
	return str_ieq(name, STR(FORWARDED_PSEUDONYM));
}

bool forwarded_loops(const struct http_request *r)
{
	unsigned n = 0;

	for (size_t i = 0; i < r->fields.count; i++) {
		struct str rest = r->fields.items[i].value, entry;

		if (!str_eq(r->fields.items[i].name, via))
			continue;
		while (str_split(&rest, ',', &entry))
			n += names_us(entry);
	}
	return n > FORWARDED_LOOPS_MAX;
}
