/* /config: all entities as one document, when there is no database (kong-admin-api.md 3.4).
 *
 *   POST: what was sent (object, text in a field, text as it is) ─▶ same hash? 304 ─▶ store_load
 *         ─▶ 201 with the entities · 400 with code 14 · 429 while another one is loaded
 */
#include <strings.h>

#include "common/core/log.h"
#include "control-plane/admin/fault.h"
#include "control-plane/admin/handlers.h"
#include "control-plane/store/load.h"

static bool is_offered(struct admin_request *r)
{
	if (!store_read_only(r->ctx->store))
		admin_reply_message(r, 400,
				    "this endpoint is only available when Kong is configured to "
				    "not use a database");
	return store_read_only(r->ctx->store);
}

void config_get(struct admin_request *r)
{
	struct buf text = {.limit = LOAD_FILE_MAX, .secret = true};
	struct err e = ERR_INIT;

	if (!is_offered(r))
		return;
	if (store_export(r->ctx->store, &text, &e) < 0) {
		log_error("the configuration cannot be shown", log_err(&e));
		fault_internal(r);
	} else {
		admin_reply(r, 200, json_pack("{s:s%}", "config", text.data, text.len));
	}
	buf_deinit(&text);
}

/* --- what was asked --- */

static bool is_truthy(struct str s)
{
	static const char *const words[] = {"1", "true", "on", "yes"};

	for (size_t i = 0; i < array_len(words); i++)
		if (str_ieq(s, str_from(words[i])))
			return true;
	return false;
}

static struct str text_of(const json_t *value)
{
	if (json_is_true(value))
		return STR("true");
	if (json_is_integer(value) && json_integer_value(value) == 1)
		return STR("1");
	return (struct str){json_string_value(value), json_string_length(value)};
}

/* From the query, or a field of the body, which is then no part of the document. Lives as long as
 * the request. */
static struct str take_option(struct admin_request *r, const char *name)
{
	struct str asked = admin_query(r, name);

	if (!asked.ptr)
		asked = arena_str(exchange_arena(r->x), text_of(json_object_get(r->input, name)));
	json_object_del(r->input, name);
	return asked;
}

/* Names of the query are fields of a document that was sent as an object; those that are none are
 * so refused. */
static int add_query(struct admin_request *r)
{
	struct str query = exchange_request(r->x)->query;
	struct str pair, name, value;

	while (str_split(&query, '&', &pair)) {
		size_t eq = str_find(pair, '=', 0);

		if (http_percent_decode(exchange_arena(r->x), str_sub(pair, 0, eq), true, &name) <
			    0 ||
		    http_percent_decode(exchange_arena(r->x), str_sub(pair, eq + 1, pair.len), true,
					&value) < 0)
			continue;
		if (name.len == 0 || str_eq(name, STR("check_hash")) ||
		    str_eq(name, STR("flatten_errors")))
			continue;
		if (json_object_setn_new(r->input, name.ptr, name.len,
					 json_stringn(value.ptr, value.len)) < 0)
			return -1;
	}
	return 0;
}

/* --- loading --- */

static void on_loaded(const struct load_result *result, void *arg)
{
	struct admin_request *r = arg;

	if (!admin_resume(r))
		return;
	if (result->outcome == LOAD_DONE) {
		admin_reply_write(r, 201, json_incref((json_t *)(uintptr_t)result->entities),
				  result->revision);
	} else if (result->outcome == LOAD_REFUSED) {
		admin_reply(r, 400, json_incref((json_t *)(uintptr_t)result->fault));
	} else {
		log_error("the configuration was not loaded", log_err(&result->err));
		fault_internal(r);
	}
}

static void reply_busy(struct admin_request *r)
{
	struct http_fields extra = {0};

	if (http_fields_add(&extra, exchange_arena(r->x), STR("retry-after"), STR("1")) < 0)
		log_debug("no room for a header", log_str("header", "retry-after"));
	admin_reply_text(r, 429, STR("application/json; charset=utf-8"),
			 STR("{\"message\":\"Currently loading previous configuration\"}"), &extra);
}

static void load(struct admin_request *r, const struct load_request *q)
{
	struct load_request own = *q;
	struct err e = ERR_INIT;

	own.verify = r->ctx->conf.verify;
	admin_suspend(r);
	if (store_load(r->ctx->store, &own, on_loaded, r, &e) == 0)
		return;
	if (!admin_resume(r))
		return;
	if (e.kind == ERR_UNAVAILABLE) {
		reply_busy(r);
	} else {
		log_error("the configuration was not loaded", log_err(&e));
		fault_internal(r);
	}
}

/* text is taken over. */
static void load_text(struct admin_request *r, struct buf *text, bool check, bool flatten)
{
	const struct load_request q = {.text = text, .flatten = flatten};
	char hash[LOAD_HASH_SIZE] = "";

	if (check && load_hash(hash, buf_str(text), NULL) == 0 &&
	    strcmp(hash, store_configuration_hash(r->ctx->store)) == 0) /* not secret */
		admin_reply_empty(r, 304);
	else
		load(r, &q);
	buf_deinit(text);
}

/* The field `config`: a text, or, in JSON, the document itself. */
static void load_field(struct admin_request *r, json_t *config, bool check, bool flatten)
{
	struct buf text = {.secret = true};

	if (json_is_object(config))
		load(r, &(struct load_request){.tree = config, .flatten = flatten});
	else if (buf_add_str(&text, text_of(config), NULL) < 0)
		fault_internal(r);
	else
		load_text(r, &text, check, flatten);
}

void config_post(struct admin_request *r)
{
	bool check, flatten;
	json_t *config;

	if (!is_offered(r))
		return;
	check = str_eq(take_option(r, "check_hash"), STR("1"));
	flatten = is_truthy(take_option(r, "flatten_errors"));
	config = json_object_get(r->input, "config");
	if (json_object_get(r->input, "_format_version")) {
		if (add_query(r) < 0)
			fault_internal(r);
		else
			load(r, &(struct load_request){.tree = r->input, .flatten = flatten});
	} else if (config) {
		load_field(r, config, check, flatten);
	} else if (r->body.len) {
		struct buf text = r->body;

		r->body = (struct buf){.secret = true};
		load_text(r, &text, check, flatten);
	} else {
		admin_reply_message(r, 400, "expected a declarative configuration");
	}
}
