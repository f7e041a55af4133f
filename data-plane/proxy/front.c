#include "data-plane/proxy/front.h"

#include <openssl/rand.h>

static const char challenge_prefix[] = "/.well-known/acme-challenge/";

enum { REQUEST_ID_BYTES = 16, REQUEST_ID_SIZE = 2 * REQUEST_ID_BYTES + 1, BODY_SIZE = 160 };

struct str front_challenge_token(struct str path)
{
	struct str prefix = str_from(challenge_prefix);

	return str_starts(path, prefix) ? str_sub(path, prefix.len, path.len) : STR_NONE;
}

static void reply(struct exchange *x, struct front *f, unsigned status, struct str content_type,
		  struct str body)
{
	stats_request(f->stats, status);
	exchange_reply(x, status, content_type, body, NULL);
}

/* Whether the request was a live challenge's. */
static bool answer_challenge(struct exchange *x, struct front *f)
{
	const struct http_request *r = exchange_request(x);
	struct str token = front_challenge_token(r->path);
	const struct challenge *c;

	if (token.len == 0 || !(str_eq(r->method, STR("GET")) || str_eq(r->method, STR("HEAD"))))
		return false;
	c = challenges_find(&f->tables->challenges, tables_enter(f->tables), r->host, token);
	if (!c)
		return false;
	hits_add(f->hits, c->id);
	stats_challenge_hit(f->stats);
	reply(x, f, 200, STR("text/plain"), (struct str){c->key_authorization, c->len});
	return true;
}

static void request_id(char out[REQUEST_ID_SIZE])
{
	static const char digits[] = "0123456789abcdef";
	unsigned char bytes[REQUEST_ID_BYTES] = {0};

	/* Without randomness the id is all zeros: it serves to find log lines, nothing more. */
	if (RAND_bytes(bytes, sizeof(bytes)) != 1)
		memset(bytes, 0, sizeof(bytes));
	for (size_t i = 0; i < sizeof(bytes); i++) {
		out[2 * i] = digits[bytes[i] >> 4];
		out[2 * i + 1] = digits[bytes[i] & 15];
	}
	out[REQUEST_ID_SIZE - 1] = '\0';
}

static void no_route(struct exchange *x, struct front *f)
{
	char id[REQUEST_ID_SIZE];
	char body[BODY_SIZE];
	int n;

	request_id(id);
	n = snprintf(body, sizeof(body),
		     "{\"message\":\"no Route matched with those values\",\"request_id\":\"%s\"}",
		     id);
	reply(x, f, 404, STR("application/json; charset=utf-8"), (struct str){body, (size_t)n});
}

static void on_head(struct exchange *x, void *arg)
{
	struct front *f = arg;

	if (!answer_challenge(x, f))
		no_route(x, f);
}

const struct http_handler front_handler = {.on_head = on_head};

/* Kong's texts. */
static const struct {
	unsigned status;
	const char *body;
} error_bodies[] = {
	{400, "{\"message\":\"Bad request\"}"},
	{408, "{\"message\":\"Request timeout\"}"},
	{413, "{\"message\":\"Payload too large\"}"},
	{414, "{\"message\":\"URI too long\"}"},
	{431, "{\"message\":\"Request header or cookie too large\"}"},
};

struct str front_error_body(unsigned status, struct str *content_type, void *arg)
{
	struct front *f = arg;

	stats_request(f->stats, status);
	*content_type = STR("application/json; charset=utf-8");
	for (size_t i = 0; i < array_len(error_bodies); i++)
		if (error_bodies[i].status == status)
			return str_from(error_bodies[i].body);
	return STR("{\"message\":\"An unexpected error occurred\"}");
}

void front_rejected(const char *reason, void *arg)
{
	struct front *f = arg;

	stats_rejected(f->stats, reason);
}
