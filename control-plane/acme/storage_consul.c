/* Consul's key/value store: /v1/kv/KV_PATH/KEY. A time to live is the time of its end in the key's
 * flags, in milliseconds since 1970, and whoever reads it too late takes it as gone: so Kong does.
 */
#include <stdlib.h>

#include "common/core/clock.h"
#include "common/core/codec.h"
#include "control-plane/acme/storage_http.h"

enum { PORT = 8500 };

static struct storage_http *http_of(struct storage *s)
{
	return container_of(s, struct storage_http, base);
}

/* --- answers --- */

/* [{"Value": base64 | null, "Flags": ms}] */
static int take_value(struct storage_http *h, const json_t *doc, struct err *e)
{
	const json_t *row = json_array_get(doc, 0), *v = json_object_get(row, "Value");
	json_int_t flags = json_integer_value(json_object_get(row, "Flags"));
	struct buf value = {.secret = true, .limit = h->base.value_max * 2 + 64};
	int rc;

	if (!json_is_object(row) || (v && !json_is_null(v) && !json_is_string(v)))
		return err_set(e, ERR_INVALID, "this is no answer of Consul");
	if (!json_is_string(v) || (flags > 0 && flags < (json_int_t)clock_wall_s() * 1000))
		return 0;
	rc = base64_decode(&value, (struct str){json_string_value(v), json_string_length(v)}, e);
	if (rc == 0)
		rc = storage_take_value(&h->base, buf_str(&value), e);
	buf_deinit(&value);
	return rc;
}

/* ["kv_path/key", ...] */
static int take_keys(struct storage_http *h, const json_t *doc, struct err *e)
{
	size_t skip = strlen(h->path) + 1, i;
	const json_t *v;

	if (!json_is_array(doc))
		return err_set(e, ERR_INVALID, "this is no answer of Consul");
	json_array_foreach(doc, i, v)
	{
		struct str key = {json_string_value(v), json_string_length(v)};

		if (key.len > skip &&
		    storage_take_key(&h->base, str_sub(key, skip, key.len), e) != 0)
			return -1;
	}
	return 0;
}

static int take(struct storage_http *h, const struct fetch_reply *r, struct err *e)
{
	enum storage_verb verb = storage_current(&h->base)->verb;
	json_t *doc;
	int rc = storage_http_fine(r, e);

	if (rc != 0 || r->status == 404)
		return rc;
	doc = storage_http_json(r, e);
	if (!doc)
		return -1;
	if (verb == STORAGE_GET)
		rc = take_value(h, doc, e);
	else if (verb == STORAGE_LIST)
		rc = take_keys(h, doc, e);
	else if (!json_is_true(doc))
		rc = err_set(e, ERR_UNAVAILABLE, "Consul did not do it");
	json_decref(doc);
	return rc;
}

static void on_answer(const struct fetch_reply *r, void *arg)
{
	struct storage_http *h = arg;
	struct err e = ERR_INIT;

	h->fetch = NULL;
	if (take(h, r, &e) == 0)
		storage_end(&h->base);
	else
		storage_fail(&h->base, &e);
}

/* --- questions --- */

static int build(struct storage_http *h, const struct storage_call *c, struct buf *url,
		 struct err *e)
{
	if (buf_addf(url, e, "%s/v1/kv/", h->origin) != 0 ||
	    storage_http_add(url, str_from(h->path), false, e) != 0 || buf_add(url, "/", 1, e) != 0)
		return -1;
	if (c->verb == STORAGE_LIST)
		return buf_add_str(url, STR("?keys"), e);
	if (storage_http_add(url, buf_str(&c->key), true, e) != 0)
		return -1;
	if (c->verb != STORAGE_SET || c->ttl_ms == 0)
		return 0;
	return buf_addf(url, e, "?flags=%llu",
			(unsigned long long)clock_wall_s() * 1000 + (unsigned long long)c->ttl_ms);
}

static void begin(struct storage *s, const struct storage_call *c)
{
	static const enum fetch_method methods[] = {
		[STORAGE_GET] = FETCH_GET,
		[STORAGE_SET] = FETCH_PUT,
		[STORAGE_DELETE] = FETCH_DELETE,
		[STORAGE_LIST] = FETCH_GET,
	};
	struct storage_http *h = http_of(s);
	struct buf url = BUF_INIT;
	struct err e = ERR_INIT;

	if (build(h, c, &url, &e) == 0)
		storage_http_ask(h, methods[c->verb], &url, buf_str(&c->value), on_answer);
	else
		storage_fail(s, &e);
	buf_deinit(&url);
}

static const struct storage_ops ops = {
	.begin = begin, .cancel = storage_http_cancel, .close = storage_http_close};

static void free_consul(struct storage *s)
{
	struct storage_http *h = http_of(s);

	storage_http_deinit(h);
	free(h);
}

int storage_consul_open(struct storage **out, struct loop *l, const json_t *config,
			const struct storage_limits *limits, struct err *e)
{
	static const struct storage_http_kind kind = {
		.name = "consul", .port = PORT, .header = "X-Consul-Token", .ops = &ops};
	struct storage_http *h = calloc(1, sizeof(*h));

	if (!h)
		return err_memory(e, "consul storage");
	if (storage_http_init(h, l, &kind, config, limits, e) != 0) {
		free(h);
		return -1;
	}
	h->free = free_consul;
	*out = &h->base;
	return 0;
}
