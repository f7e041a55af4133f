#include "data-plane/proxy/tokens.h"

#include <inttypes.h>
#include <stdio.h>

#define BIT(token) (1U << (token))

static const struct {
	struct str name;
	unsigned set;
} names[] = {
	{STR("server_tokens"), BIT(TOKEN_SERVER) | BIT(TOKEN_VIA)},
	{STR("latency_tokens"),
	 BIT(TOKEN_PROXY_LATENCY) | BIT(TOKEN_RESPONSE_LATENCY) | BIT(TOKEN_UPSTREAM_LATENCY)},
	{STR("server"), BIT(TOKEN_SERVER)},
	{STR("via"), BIT(TOKEN_VIA)},
	{STR("x-kong-proxy-latency"), BIT(TOKEN_PROXY_LATENCY)},
	{STR("x-kong-response-latency"), BIT(TOKEN_RESPONSE_LATENCY)},
	{STR("x-kong-upstream-latency"), BIT(TOKEN_UPSTREAM_LATENCY)},
	{STR("x-kong-upstream-status"), BIT(TOKEN_UPSTREAM_STATUS)},
	{STR("x-kong-request-id"), BIT(TOKEN_REQUEST_ID)},
};

static int refuse(struct str word, struct err *e)
{
	return err_set(e, ERR_INVALID,
		       "\"%.*s\" is not allowed: use server_tokens, latency_tokens, Server, Via, "
		       "X-Kong-Proxy-Latency, X-Kong-Response-Latency, X-Kong-Upstream-Latency, "
		       "X-Kong-Upstream-Status, X-Kong-Request-Id, or off alone",
		       (int)(word.len < 60 ? word.len : 60), word.ptr ? word.ptr : "");
}

int tokens_parse(struct tokens *out, struct str text, struct err *e)
{
	struct str rest = text.ptr ? text : STR(""), word;
	unsigned shown = 0;

	if (str_ieq(str_trim(text), STR("off"))) {
		out->shown = 0;
		return 0;
	}
	while (str_split(&rest, ',', &word)) {
		size_t i = 0;

		word = str_trim(word);
		while (i < array_len(names) && !str_ieq(word, names[i].name))
			i++;
		if (i == array_len(names))
			return refuse(word, e);
		shown |= names[i].set;
	}
	out->shown = shown;
	return 0;
}

bool tokens_show(const struct tokens *t, enum token which)
{
	return t->shown & BIT(which);
}

static struct str number(struct arena *a, uint64_t n)
{
	static const char digits[] = "0123456789";
	char text[STR_DECIMAL_SIZE];

	if (n < 10)
		return (struct str){digits + n, 1};
	return arena_str(a, str_decimal(text, n));
}

int tokens_add(const struct tokens *t, struct http_fields *out, struct arena *a,
	       const struct token_facts *f)
{
	const struct {
		enum token token;
		bool from_upstream; /* of which answers */
		struct str name;
		uint64_t value;
	} numbers[] = {
		{TOKEN_UPSTREAM_LATENCY, true, STR("x-kong-upstream-latency"), f->upstream_ms},
		{TOKEN_PROXY_LATENCY, true, STR("x-kong-proxy-latency"), f->proxy_ms},
		{TOKEN_RESPONSE_LATENCY, false, STR("x-kong-response-latency"), f->response_ms},
		{TOKEN_UPSTREAM_STATUS, true, STR("x-kong-upstream-status"), f->upstream_status},
	};

	for (size_t i = 0; i < array_len(numbers); i++) {
		struct str value;

		if (!tokens_show(t, numbers[i].token) ||
		    numbers[i].from_upstream != f->from_upstream)
			continue;
		value = number(a, numbers[i].value);
		if (!value.ptr || http_fields_add(out, a, numbers[i].name, value) < 0)
			return -1;
	}
	if (f->from_upstream && tokens_show(t, TOKEN_VIA) &&
	    http_fields_add(out, a, STR("via"), STR("1.1 cardea/" CARDEA_VERSION)) < 0)
		return -1;
	if (tokens_show(t, TOKEN_REQUEST_ID) && f->id.len > 0)
		return http_fields_add(out, a, STR("x-kong-request-id"), f->id);
	return 0;
}
