/* Happy path of a write: routes in scope ─▶ names ─▶ certificate ─▶ none of the names is another's
 * ─▶ one transaction with the plugin. */
#include "control-plane/admin/plugin_certificate.h"

#include <stdlib.h>
#include <string.h>

#include "common/core/clock.h"
#include "control-plane/admin/certificate_snis.h"
#include "control-plane/admin/fault.h"
#include "control-plane/model/host.h"
#include "control-plane/model/plugin_schemas.h"

/* Routes of one service whose hosts are read. */
enum { ROUTES_MAX = 1000 };

static const char tag[] = "legacy";

bool plugin_certificate_for(const json_t *plugin)
{
	const char *name = json_string_value(json_object_get(plugin, "name"));

	return name && strcmp(name, PLUGIN_SSL) == 0;
}

static const char *id_of(const json_t *row)
{
	return json_string_value(json_object_get(row, "id"));
}

static const char *reference_of(const json_t *row, const char *field)
{
	return id_of(json_object_get(row, field));
}

static json_t *config_value(const json_t *plugin, const char *name)
{
	return json_object_get(json_object_get(plugin, "config"), name);
}

static bool only_https(const json_t *plugin)
{
	return json_is_true(config_value(plugin, "only_https"));
}

/* --- names --- */

static bool has_name(const json_t *names, struct str name)
{
	const json_t *one;
	size_t i;

	json_array_foreach(names, i, one)
	{
		if (str_ieq(str_from(json_string_value(one)), name))
			return true;
	}
	return false;
}

int plugin_certificate_names(json_t *names, const json_t *hosts)
{
	const json_t *host;
	size_t i;

	json_array_foreach(hosts, i, host)
	{
		struct str text = {json_string_value(host), json_string_length(host)};
		json_t *name;

		text = str_sub(text, 0, str_find(text, ':', 0));
		name = json_stringn(text.ptr, text.len);
		if (!name)
			return -1;
		if (host_check_wildcard(name, NULL) < 0 || has_name(names, text))
			json_decref(name);
		else if (json_array_append_new(names, name) < 0)
			return -1;
	}
	return 0;
}

/* --- reading --- */

/* A copy of a plugin with what its certificate (may be NULL) holds; rows may be the store's own. */
static json_t *filled(const json_t *plugin, const json_t *certificate)
{
	json_t *out = json_copy((json_t *)(uintptr_t)plugin);
	json_t *config = json_copy(json_object_get(plugin, "config"));
	static const char *const members[] = {"cert", "key"};

	for (size_t i = 0; config && i < array_len(members); i++) {
		json_t *value = json_object_get(certificate, members[i]);

		json_object_set(config, members[i], value ? value : json_null());
	}
	if (out && config && json_object_set_new(out, "config", config) == 0)
		return out;
	json_decref(out);
	return NULL;
}

struct load {
	struct admin_request *r;
	admin_handler next;
	size_t i; /* of r->rows */
};

static void on_loaded(const struct store_result *res, void *arg)
{
	struct load *l = arg;
	struct admin_request *r = l->r;
	admin_handler next = l->next;
	json_t *row;

	free(l);
	if (!admin_resume(r))
		return;
	if (res->fault != STORE_OK) {
		fault_reply(r, r->entity, res);
		return;
	}
	r->pair = json_incref(json_array_get(res->rows, 0));
	row = filled(r->old, r->pair);
	if (!row) {
		fault_internal(r);
		return;
	}
	json_decref(r->old);
	r->old = row;
	next(r);
}

void plugin_certificate_load(struct admin_request *r, admin_handler next)
{
	struct load *l;

	json_decref(r->pair);
	r->pair = NULL;
	if (!plugin_certificate_for(r->old)) {
		next(r);
		return;
	}
	l = calloc(1, sizeof(*l));
	if (!l) {
		fault_internal(r);
		return;
	}
	*l = (struct load){r, next, 0};
	admin_suspend(r);
	store_get(r->ctx->store, &entity_certificates, str_from(id_of(r->old)), on_loaded, l);
}

static void fill_next(struct load *l);

static void on_filled(const struct store_result *res, void *arg)
{
	struct load *l = arg;
	struct admin_request *r = l->r;
	json_t *row;

	if (!admin_resume(r)) {
		free(l);
		return;
	}
	row = res->fault == STORE_OK
		      ? filled(json_array_get(r->rows, l->i), json_array_get(res->rows, 0))
		      : NULL;
	if (res->fault != STORE_OK)
		fault_reply(r, r->entity, res);
	else if (!row || json_array_set_new(r->rows, l->i, row) < 0)
		fault_internal(r);
	else {
		l->i++;
		fill_next(l);
		return;
	}
	free(l);
}

static void fill_next(struct load *l)
{
	struct admin_request *r = l->r;
	admin_handler next = l->next;
	const char *id;

	while (l->i < json_array_size(r->rows) &&
	       !plugin_certificate_for(json_array_get(r->rows, l->i)))
		l->i++;
	if (l->i == json_array_size(r->rows)) {
		free(l);
		next(r);
		return;
	}
	id = id_of(json_array_get(r->rows, l->i));
	admin_suspend(r);
	store_get(r->ctx->store, &entity_certificates, str_from(id), on_filled, l);
}

void plugin_certificate_fill(struct admin_request *r, admin_handler next)
{
	struct load *l = calloc(1, sizeof(*l));
	json_t *rows = json_copy(r->rows);

	if (!l || !rows) {
		free(l);
		json_decref(rows);
		fault_internal(r);
		return;
	}
	json_decref(r->rows);
	r->rows = rows;
	*l = (struct load){r, next, 0};
	fill_next(l);
}

/* --- checking --- */

static bool has_pair(const json_t *plugin)
{
	return json_is_string(config_value(plugin, "cert"));
}

static bool is_new_pair(const struct admin_request *r)
{
	return has_pair(r->row) && !r->pair;
}

static bool is_changed_pair(const struct admin_request *r)
{
	return has_pair(r->row) && r->pair &&
	       (!json_equal(config_value(r->row, "cert"), json_object_get(r->pair, "cert")) ||
		!json_equal(config_value(r->row, "key"), json_object_get(r->pair, "key")));
}

/* Whether the older surface turns HTTPS only on or off. */
static bool changes_protocols(const struct admin_request *r)
{
	return r->older && only_https(r->row) != only_https(r->old);
}

/* The certificate that r->row wants, with these names when it is a new one. */
static json_t *make_pair(const struct admin_request *r, json_t *names, struct violations *v)
{
	json_t *cert = config_value(r->row, "cert"), *key = config_value(r->row, "key");
	json_t *input, *out = NULL;

	if (r->pair)
		input = json_pack("{s:O, s:O}", "cert", cert, "key", key);
	else
		input = json_pack("{s:O, s:O, s:O, s:O, s:[s]}", "id",
				  json_object_get(r->row, "id"), "cert", cert, "key", key, "snis",
				  names, "tags", tag);
	if (!input)
		v->no_memory = true;
	else if (r->pair)
		out = entity_merge(&entity_certificates, r->pair, input, clock_wall_ms(), v);
	else
		out = entity_create(&entity_certificates, input, clock_wall_ms(), v);
	json_decref(input);
	return out;
}

/* names is taken over. */
static void check_names(struct admin_request *r, json_t *names)
{
	struct violations v;

	violations_init(&v);
	if (!names)
		v.no_memory = true;
	else if (is_new_pair(r) || is_changed_pair(r))
		r->new_pair = make_pair(r, names, &v);
	json_decref(names);
	if (violations_any(&v))
		fault_violations(r, &v);
	else if (r->new_pair)
		certificate_snis_check(r, r->new_pair, "config.cert", r->checked);
	else
		r->checked(r);
	violations_deinit(&v);
}

static void on_routes(const struct store_result *res, void *arg)
{
	struct admin_request *r = arg;
	json_t *names, *route;
	size_t i;

	if (!admin_resume(r))
		return;
	if (res->fault != STORE_OK) {
		fault_reply(r, r->entity, res);
		return;
	}
	if (json_array_size(res->rows) > ROUTES_MAX) {
		admin_reply_message(r, 400, "the service has more than %d routes", ROUTES_MAX);
		return;
	}
	names = json_array();
	json_array_foreach(res->rows, i, route)
	{
		if (names && plugin_certificate_names(names, json_object_get(route, "hosts")) < 0) {
			json_decref(names);
			names = NULL;
		}
	}
	if (reference_of(r->row, "route") && changes_protocols(r))
		r->scope = json_incref(json_array_get(res->rows, 0));
	check_names(r, names);
}

void plugin_certificate_check(struct admin_request *r, admin_handler next)
{
	const char *route = reference_of(r->row, "route");
	const char *service = reference_of(r->row, "service");

	json_decref(r->new_pair);
	json_decref(r->scope);
	r->new_pair = r->scope = NULL;
	r->checked = next;
	if (!plugin_certificate_for(r->row)) {
		next(r);
		return;
	}
	r->deprecated = true;
	if (!is_new_pair(r) && !(route && changes_protocols(r))) {
		check_names(r, json_array());
		return;
	}
	if (!route && !service) {
		check_names(r, json_pack("[s]", "*"));
		return;
	}
	admin_suspend(r);
	if (route)
		store_get(r->ctx->store, &entity_routes, str_from(route), on_routes, r);
	else
		store_list(r->ctx->store, &entity_routes,
			   &(struct store_page){
				   .size = ROUTES_MAX,
				   .foreign = "service",
				   .foreign_id = str_from(service),
			   },
			   on_routes, r);
}

/* --- writing --- */

int plugin_certificate_protocols(const json_t *route, bool https, struct txn *t, struct err *e)
{
	json_int_t version = json_integer_value(json_object_get(route, "version"));
	json_t *protocols = json_pack(https ? "[s]" : "[s, s]", https ? "https" : "http", "https");
	struct violations v;
	json_t *patch, *row = NULL;

	if (json_equal(protocols, json_object_get(route, "protocols"))) {
		json_decref(protocols);
		return 0;
	}
	patch = json_pack("{s:o, s:i}", "protocols", protocols, "https_redirect_status_code", 426);
	violations_init(&v);
	if (patch)
		row = entity_merge(&entity_routes, route, patch, clock_wall_ms(), &v);
	if (row)
		txn_update(t, &entity_routes, row, version);
	json_decref(row);
	json_decref(patch);
	violations_deinit(&v);
	return row ? 0 : err_set(e, ERR_INTERNAL, "a route that was stored is refused");
}

int plugin_certificate_write(struct admin_request *r, struct txn *t, struct err *e)
{
	json_int_t version = json_integer_value(json_object_get(r->pair, "version"));

	if (r->new_pair && r->pair)
		txn_update(t, &entity_certificates, r->new_pair, version);
	else if (r->new_pair)
		txn_insert(t, &entity_certificates, r->new_pair);
	else if (r->pair && !has_pair(r->row))
		txn_delete(t, &entity_certificates, str_from(id_of(r->pair)), false);
	if (r->new_pair && certificate_snis_write(r->new_pair, r->pair, t, e) < 0)
		return -1;
	if (r->scope)
		return plugin_certificate_protocols(r->scope, only_https(r->row), t, e);
	return 0;
}
