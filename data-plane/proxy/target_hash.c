#include "data-plane/proxy/target_hash.h"

#include <stdio.h>

#include "common/core/codec.h"
#include "data-plane/proxy/balance.h"

typedef bool hash_fn(const struct hash_input *in, const struct target_request *q, struct arena *a,
		     uint64_t *hash);

static bool hash_text(struct str text, uint64_t *hash)
{
	if (text.len == 0)
		return false;
	*hash = balance_hash(text, *hash);
	return true;
}

static bool hash_consumer(const struct hash_input *in, const struct target_request *q,
			  struct arena *a, uint64_t *hash)
{
	(void)in;
	(void)a;
	return hash_text(q->consumer, hash);
}

static bool hash_ip(const struct hash_input *in, const struct target_request *q, struct arena *a,
		    uint64_t *hash)
{
	char text[ADDR_TEXT_SIZE];

	(void)in;
	(void)a;
	addr_ip_text(q->client, text, sizeof(text));
	return hash_text(str_from(text), hash);
}

/* Every value, in order. */
static bool hash_header(const struct hash_input *in, const struct target_request *q,
			struct arena *a, uint64_t *hash)
{
	const struct http_fields *f = &q->request->fields;
	bool found = false;

	(void)a;
	if (str_ieq(in->name, STR("host")))
		return hash_text(q->request->host, hash);
	for (size_t i = 0; i < f->count; i++)
		if (str_ieq(f->items[i].name, in->name))
			found |= hash_text(f->items[i].value, hash);
	return found;
}

static bool hash_cookie(const struct hash_input *in, const struct target_request *q,
			struct arena *a, uint64_t *hash)
{
	const struct http_fields *f = &q->request->fields;

	(void)a;
	for (size_t i = 0; i < f->count; i++) {
		struct str rest = f->items[i].value, pair;

		if (!str_ieq(f->items[i].name, STR("cookie")))
			continue;
		while (rest.len > 0 && str_split(&rest, ';', &pair)) {
			size_t equals = str_find(pair, '=', 0);

			if (str_eq(str_trim(str_sub(pair, 0, equals)), in->name))
				return hash_text(str_trim(str_sub(pair, equals + 1, pair.len)),
						 hash);
		}
	}
	return false;
}

static bool hash_path(const struct hash_input *in, const struct target_request *q, struct arena *a,
		      uint64_t *hash)
{
	(void)in;
	(void)a;
	return hash_text(q->request->path, hash);
}

static bool hash_query_arg(const struct hash_input *in, const struct target_request *q,
			   struct arena *a, uint64_t *hash)
{
	struct str rest = q->request->query, pair;
	bool found = false;

	while (rest.len > 0 && str_split(&rest, '&', &pair)) {
		size_t equals = str_find(pair, '=', 0);
		struct str name = str_sub(pair, 0, equals), plain;
		struct str value = str_sub(pair, equals + 1, pair.len);

		if (http_percent_decode(a, name, true, &plain) == 0)
			name = plain;
		if (str_eq(name, in->name))
			found |= hash_text(value, hash);
	}
	return found;
}

static bool hash_capture(const struct hash_input *in, const struct target_request *q,
			 struct arena *a, uint64_t *hash)
{
	(void)a;
	return q->capture && hash_text(q->capture(in->name, q->arg), hash);
}

static hash_fn *const sources[HASH_SOURCES] = {
	[HASH_CONSUMER] = hash_consumer,   [HASH_IP] = hash_ip,
	[HASH_HEADER] = hash_header,	   [HASH_COOKIE] = hash_cookie,
	[HASH_PATH] = hash_path,	   [HASH_QUERY_ARG] = hash_query_arg,
	[HASH_URI_CAPTURE] = hash_capture,
};

/* The client is given a value of its own, so that it comes back to the same address. */
static bool make_cookie(struct str name, struct str path, struct arena *a, uint64_t *hash,
			struct str *set_cookie)
{
	char id[UUID_TEXT_SIZE], text[TARGET_COOKIE_MAX];
	int n;

	if (uuid_make(id, NULL) < 0)
		return false;
	n = snprintf(text, sizeof(text), "%.*s=%s; Path=%.*s", (int)name.len, name.ptr, id,
		     (int)path.len, path.ptr);
	if (n <= 0 || (size_t)n >= sizeof(text))
		return false;
	*set_cookie = arena_str(a, (struct str){text, (size_t)n});
	return set_cookie->ptr && hash_text(str_from(id), hash);
}

bool target_hash(const struct hash_input *in, const struct target_request *q,
		 struct str cookie_path, struct arena *a, uint64_t *hash, struct str *set_cookie)
{
	uint64_t h = 0;

	if (!sources[in->source])
		return false;
	if (!sources[in->source](in, q, a, &h) &&
	    (in->source != HASH_COOKIE || !make_cookie(in->name, cookie_path, a, &h, set_cookie)))
		return false;
	*hash = h;
	return true;
}
