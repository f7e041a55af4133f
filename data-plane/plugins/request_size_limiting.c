/* request-size-limiting (kong-admin-api.md 2.9): larger bodies are answered with 413, or 417 when
 * the client asked first (Expect: 100-continue), in Kong's words.
 *
 * A length that the client tells is judged before a byte of the body is asked for; without one the
 * body is counted as it comes. Different from Kong: with require_content_length a request that has
 * no body needs no length. */
#include "data-plane/plugins/plugins.h"
#include "data-plane/tables/fields.h"

struct size_config {
	uint64_t max; /* bytes */
	bool length_required;
};

static const struct {
	struct str name;
	uint64_t bytes;
} units[] = {
	{STR("megabytes"), 1 << 20},
	{STR("kilobytes"), 1 << 10},
	{STR("bytes"), 1},
};

static int configure(void *config, const struct fields *f, struct arena *a, struct err *e)
{
	struct size_config *c = config;
	struct str unit = fields_text(f, "size_unit");
	int64_t size = fields_integer(f, "allowed_payload_size", 128);

	(void)a;
	if (size < 1 || size > INT32_MAX)
		return err_set(e, ERR_INVALID, "allowed_payload_size: 1 to %d", INT32_MAX);
	c->length_required = fields_flag(f, "require_content_length", false);
	if (!unit.ptr)
		unit = units[0].name;
	for (size_t i = 0; i < array_len(units); i++)
		if (str_eq(units[i].name, unit))
			c->max = (uint64_t)size * units[i].bytes;
	return c->max ? 0 : err_set(e, ERR_INVALID, "size_unit: megabytes, kilobytes or bytes");
}

static const char too_large[] = "Request size limit exceeded";

static enum plugin_verdict refuse(struct request *r, unsigned status, const char *message)
{
	request_answer_message(r, status, str_from(message));
	return PLUGIN_ANSWERED;
}

static enum plugin_verdict access_size(struct request *r, const void *config)
{
	const struct size_config *c = config;
	const struct http_request *q = request_head(r);

	if (!q->has_body)
		return PLUGIN_NEXT;
	if (q->content_length >= 0) {
		if ((uint64_t)q->content_length <= c->max)
			return PLUGIN_NEXT;
		return refuse(r, q->expect_continue ? 417 : 413, too_large);
	}
	if (c->length_required)
		return refuse(r, 411, "A valid Content-Length header is required");
	if (!request_limit_body(r, c->max, too_large))
		return refuse(r, 413, too_large);
	return PLUGIN_NEXT;
}

const struct plugin_type plugin_request_size_limiting = {
	.kind = {.name = "request-size-limiting",
		 .config_size = sizeof(struct size_config),
		 .configure = configure},
	.priority = 951,
	.access = access_size,
};
