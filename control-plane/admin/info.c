/* What the control plane says of itself: /status, /status/ready, /metrics, /endpoints. */
#include <stdlib.h>
#include <string.h>

#include "common/core/log.h"
#include "control-plane/admin/fault.h"
#include "control-plane/admin/handlers.h"
#include "control-plane/admin/paths.h"
#include "control-plane/store/load.h"

/* How sizes are to be shown. None is shown yet, but a mistake is one. Answers unless it returns
 * true. */
static bool check_units(struct admin_request *r)
{
	struct str unit = admin_query(r, "unit"), scale = admin_query(r, "scale");
	bool known = unit.len == 1 && strchr("bkmgBKMG", unit.ptr[0]);

	if (unit.ptr && !known)
		admin_reply_message(r, 400, "invalid unit '%.*s' (expected 'k/K', 'm/M', or 'g/G')",
				    (int)unit.len, unit.ptr);
	else if (str_starts(scale, STR("-")))
		admin_reply_message(r, 400, "scale must be equal or greater than 0");
	else
		return true;
	return false;
}

void info_status(struct admin_request *r)
{
	const struct admin_context *ctx = r->ctx;
	const char *hash = store_configuration_hash(ctx->store);
	json_t *body;

	if (!check_units(r))
		return;
	body = json_pack("{s:{s:I}, s:{s:I}, s:{s:[], s:{}}}", "server", "total_requests",
			 (json_int_t)ctx->requests_total, "fleet", "revision",
			 (json_int_t)fleet_revision(ctx->fleet), "memory", "workers_lua_vms",
			 "lua_shared_dicts");
	if (hash)
		json_object_set_new(body, "configuration_hash", json_string(hash));
	else
		json_object_set_new(body, "database",
				    json_pack("{s:b}", "reachable", store_reachable(ctx->store)));
	admin_reply(r, 200, body);
}

static bool is_unconfigured(const struct admin_request *r)
{
	const char *hash = store_configuration_hash(r->ctx->store);

	return hash && hash[strspn(hash, "0")] == '\0';
}

void info_ready(struct admin_request *r)
{
	if (r->ctx->draining)
		admin_reply_message(r, 503, "draining");
	else if (is_unconfigured(r))
		admin_reply_message(r, 503,
				    "no configuration available (empty configuration present)");
	else if (!store_reachable(r->ctx->store))
		admin_reply_message(r, 503, "failed to connect to database");
	else if (!fleet_ready(r->ctx->fleet))
		admin_reply_message(r, 503, "the fleet's state is not loaded yet");
	else
		admin_reply_message(r, 200, "ready");
}

void info_drain(struct admin_request *r)
{
	const char *status = json_string_value(json_object_get(r->input, "status"));

	if (!status || strcmp(status, "draining") != 0) {
		admin_reply_empty(r, 400);
		return;
	}
	r->ctx->draining = true;
	admin_reply_empty(r, 204);
}

void info_metrics(struct admin_request *r)
{
	struct buf text = BUF_INIT;

	if (metrics_render(r->ctx->conf.metrics, &text, NULL) < 0)
		fault_internal(r);
	else
		admin_reply_text(r, 200, STR("text/plain; version=0.0.4; charset=utf-8"),
				 buf_str(&text), NULL);
	buf_deinit(&text);
}

/* Sorted by segments: "/a/b" before "/a-b". */
static int compare_paths(const void *a, const void *b)
{
	const unsigned char *x = *(const unsigned char *const *)a;
	const unsigned char *y = *(const unsigned char *const *)b;

	while (*x && *x == *y) {
		x++;
		y++;
	}
	return (*x == '/' ? 1 : *x) - (*y == '/' ? 1 : *y);
}

struct path_list {
	char (*texts)[PATHS_TEXT_SIZE]; /* NULL: only counted */
	size_t count;
};

static int add_path(const struct api_path *p, void *arg)
{
	struct path_list *l = arg;

	if (l->texts)
		memcpy(l->texts[l->count], p->text, sizeof(p->text));
	l->count++;
	return 0;
}

static json_t *sorted_paths(const struct path_list *l)
{
	const char **order = calloc(l->count, sizeof(*order));
	json_t *data = order ? json_array() : NULL;

	for (size_t i = 0; data && i < l->count; i++)
		order[i] = l->texts[i];
	if (data)
		qsort(order, l->count, sizeof(*order), compare_paths);
	for (size_t i = 0; data && i < l->count; i++)
		json_array_append_new(data, json_string(order[i]));
	free(order);
	return data;
}

static json_t *make_endpoints(void)
{
	struct path_list l = {.texts = NULL};
	json_t *data = NULL;

	if (paths_each(add_path, &l) == 0)
		l.texts = calloc(l.count, sizeof(*l.texts));
	l.count = 0;
	if (l.texts && paths_each(add_path, &l) == 0)
		data = sorted_paths(&l);
	free(l.texts);
	return data ? json_pack("{s:o}", "data", data) : NULL;
}

void info_endpoints(struct admin_request *r)
{
	if (!r->ctx->endpoints)
		r->ctx->endpoints = make_endpoints();
	if (r->ctx->endpoints)
		admin_reply(r, 200, json_incref(r->ctx->endpoints));
	else
		fault_internal(r);
}
