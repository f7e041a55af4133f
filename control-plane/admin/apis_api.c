/* /apis and /apis/{api} of Kong 0.3 to 0.14. Each write is one transaction on the rows that an api
 * is made of (apis.h); one that raced with another writer is tried again. */
#include <stdlib.h>
#include <string.h>

#include "common/core/clock.h"
#include "common/core/codec.h"
#include "control-plane/admin/apis_bundle.h"
#include "control-plane/admin/apis_fold.h"
#include "control-plane/admin/audit.h"
#include "control-plane/admin/certificate_snis.h"
#include "control-plane/admin/fault.h"
#include "control-plane/admin/handlers.h"
#include "control-plane/admin/older.h"
#include "control-plane/admin/plugin_certificate.h"

enum { TRIES_MAX = 5 };

void apis_begin(struct admin_request *r)
{
	r->older = true;
	r->shape = older_errors;
}

static bool found(const struct admin_request *r)
{
	return r->api && r->api->rows.route;
}

static void reply_missing(struct admin_request *r)
{
	admin_reply_message(r, 404, "Not found");
}

/* --- GET --- */

static void show(struct admin_request *r)
{
	json_t *body = apis_show(&r->api->rows);

	if (body)
		admin_reply(r, 200, body);
	else
		fault_internal(r);
}

static void get_found(struct admin_request *r)
{
	if (found(r))
		apis_bundle_complete(r, show);
	else
		reply_missing(r);
}

void apis_get(struct admin_request *r)
{
	apis_begin(r);
	apis_bundle_find(r, r->segments[1], get_found);
}

/* --- writing --- */

/* What a write makes of an api: kept in r->api until the answer. */

static void write_again(struct admin_request *r);

static void on_written(const struct store_result *res, void *arg)
{
	struct admin_request *r = arg;

	if (!admin_resume(r))
		return;
	if (res->fault == STORE_VERSION && ++r->tries < TRIES_MAX) {
		write_again(r);
		return;
	}
	if (res->fault != STORE_OK) {
		fault_reply(r, &apis_entity, res);
		return;
	}
	admin_reply_write(r, r->old ? 200 : 201, json_incref(r->row), res->revision);
}

/* A row that is there is updated; one that is new, inserted. */
static void put_row(struct txn *t, const struct entity *e, const json_t *row, const json_t *old)
{
	if (row && old)
		txn_update(t, e, row, json_integer_value(json_object_get(old, "version")));
	else if (row)
		txn_insert(t, e, row);
}

/* Under the client's names. */
static json_t *sent_fields(const struct admin_request *r)
{
	json_t *names = json_array();

	for (void *it = json_object_iter(r->input); it; it = json_object_iter_next(r->input, it))
		json_array_append_new(names, json_string(json_object_iter_key(it)));
	return names;
}

static void commit(struct admin_request *r)
{
	const struct apis_rows *old = &r->api->rows, *now = &r->api->made;
	struct txn *t = audit_begin(r);
	struct err e = ERR_INIT;
	int rc = 0;

	if (!t)
		return;
	put_row(t, &entity_services, now->service, old->service);
	put_row(t, &entity_routes, now->route, old->route);
	put_row(t, &entity_plugins, now->plugin, old->plugin);
	audit_about(r, t, apis_entity.name, json_string_value(json_object_get(now->route, "id")),
		    sent_fields(r));
	if (r->new_pair) {
		put_row(t, &entity_certificates, r->new_pair, r->api->certificate);
		rc = certificate_snis_write(r->new_pair, r->api->certificate, t, &e);
	}
	if (rc < 0) {
		txn_free(t);
		fault_internal(r);
		return;
	}
	admin_suspend(r);
	txn_commit(t, on_written, r);
}

static bool has(const json_t *names, const json_t *name)
{
	const json_t *one;
	size_t i;

	json_array_foreach(names, i, one)
	{
		if (str_ieq(str_from(json_string_value(one)), str_from(json_string_value(name))))
			return true;
	}
	return false;
}

/* The SNIs of the api's certificate after its hosts changed: without those of hosts that went, with
 * those of hosts that came. New reference. */
static json_t *moved_names(const json_t *names, const json_t *before, const json_t *after)
{
	json_t *out = json_array();
	json_t *name;
	size_t i;

	json_array_foreach(names, i, name)
	{
		if (!has(before, name) || has(after, name))
			json_array_append(out, name);
	}
	json_array_foreach(after, i, name)
	{
		if (!has(out, name) && !has(before, name))
			json_array_append(out, name);
	}
	return out;
}

/* r->new_pair: the certificate with the names of the new hosts. NULL: nothing to change. */
static int make_pair(struct admin_request *r, struct violations *v)
{
	const json_t *hosts_before = json_object_get(r->api->rows.route, "hosts");
	const json_t *hosts_after = json_object_get(r->api->made.route, "hosts");
	json_t *before = json_array(), *after = json_array(), *input = NULL;
	int rc = 0;

	json_decref(r->new_pair);
	r->new_pair = NULL;
	if (r->api->certificate && !json_equal(hosts_before, hosts_after)) {
		if (!before || !after || plugin_certificate_names(before, hosts_before) < 0 ||
		    plugin_certificate_names(after, hosts_after) < 0)
			rc = -1;
		else
			input = json_pack("{s:o}", "snis",
					  moved_names(json_object_get(r->api->certificate, "snis"),
						      before, after));
		if (input)
			r->new_pair = entity_merge(&entity_certificates, r->api->certificate, input,
						   clock_wall_ms(), v);
	}
	json_decref(before);
	json_decref(after);
	json_decref(input);
	return rc < 0 || violations_any(v) ? -1 : 0;
}

/* What r->row shows after the write: what was, under what was made. */
static int make_answer(struct admin_request *r)
{
	const struct apis_rows *old = &r->api->rows, *now = &r->api->made;
	struct apis_rows after = {
		.route = now->route,
		.service = now->service ? now->service : old->service,
		.plugin = now->plugin ? now->plugin : old->plugin,
	};

	json_decref(r->row);
	r->row = apis_show(&after);
	return r->row ? 0 : -1;
}

/* Builds what input asks for. whole: POST and PUT. */
static void build(struct admin_request *r, bool whole)
{
	const struct apis_rows *old = found(r) ? &r->api->rows : NULL;
	json_t *before = old ? apis_show(old) : NULL;
	json_t *input = json_deep_copy(r->input), *spelled = NULL, *api = NULL;
	int64_t now_ms = clock_wall_ms();
	struct violations v;
	int rc = -1;

	json_decref(r->old);
	r->old = json_incref(before);
	apis_rows_deinit(&r->api->made);
	violations_init(&v);
	if (!input || (old && !before))
		v.no_memory = true;
	else
		apis_fold(input, r->form, whole, before, &spelled, &v);
	if (!violations_any(&v))
		api = apis_check(input, whole, before, spelled, now_ms, &v);
	if (api)
		rc = apis_make(&r->api->made, api, before, old, spelled, now_ms, &v);
	if (rc == 0 && (make_pair(r, &v) < 0 || make_answer(r) < 0))
		v.no_memory = v.no_memory || !violations_any(&v);
	if (violations_any(&v))
		fault_violations(r, &v);
	else if (r->new_pair)
		certificate_snis_check(r, r->new_pair, "hosts", commit);
	else
		commit(r);
	violations_deinit(&v);
	json_decref(before);
	json_decref(input);
	json_decref(spelled);
	json_decref(api);
}

static void decode(struct admin_request *r)
{
	apis_begin(r);
	if (r->form)
		entity_coerce_form(&apis_body, r->input, NULL);
}

/* --- POST --- */

void apis_post(struct admin_request *r)
{
	decode(r);
	if (apis_bundle_start(r))
		build(r, true);
}

/* --- PATCH --- */

static void patch_found(struct admin_request *r)
{
	if (found(r))
		build(r, false);
	else
		reply_missing(r);
}

static void patch_complete(struct admin_request *r)
{
	if (found(r))
		apis_bundle_complete(r, patch_found);
	else
		reply_missing(r);
}

void apis_patch(struct admin_request *r)
{
	decode(r);
	if (json_object_size(r->input) == 0)
		admin_reply_message(r, 400, "empty body");
	else
		apis_bundle_find(r, r->segments[1], patch_complete);
}

/* --- PUT: replaces what its key names, or creates it --- */

static void put_complete(struct admin_request *r)
{
	build(r, true);
}

/* A row that is there keeps its id, whatever the body says. */
static void put_found(struct admin_request *r)
{
	if (!found(r)) {
		build(r, true);
		return;
	}
	json_object_set(r->input, "id", json_object_get(r->api->rows.route, "id"));
	apis_bundle_complete(r, put_complete);
}

void apis_put(struct admin_request *r)
{
	const char *id = json_string_value(json_object_get(r->input, "id"));
	struct str key = r->segment_count > 1 ? r->segments[1] : STR_NONE;
	json_t *text = key.ptr ? json_stringn(key.ptr, key.len) : NULL;

	decode(r);
	if (key.ptr && !text) {
		reply_missing(r);
		return;
	}
	if (text)
		json_object_set_new(r->input, uuid_is(key) ? "id" : "name", text);
	else if (id && uuid_is(str_from(id)))
		key = str_from(id);
	if (key.ptr)
		apis_bundle_find(r, key, put_found);
	else if (apis_bundle_start(r))
		build(r, true);
}

/* Only what was read before is read again. */
static void write_again(struct admin_request *r)
{
	if (r->segment_count > 1)
		r->handler(r);
	else
		apis_put(r);
}

/* --- DELETE --- */

static void delete_rows(struct admin_request *r, bool with_service);

/* The service has other routes: it stays. */
static void on_deleted(const struct store_result *res, void *arg)
{
	struct admin_request *r = arg;

	if (!admin_resume(r))
		return;
	if (res->fault == STORE_REFERENCED && r->tries++ == 0)
		delete_rows(r, false);
	else if (res->fault == STORE_NOT_FOUND)
		reply_missing(r);
	else if (res->fault != STORE_OK)
		fault_reply(r, &apis_entity, res);
	else
		admin_reply_write(r, 204, NULL, res->revision);
}

static void delete_rows(struct admin_request *r, bool with_service)
{
	const char *id = json_string_value(json_object_get(r->api->rows.route, "id"));
	struct txn *t = audit_begin(r);

	if (!t)
		return;
	audit_about(r, t, apis_entity.name, id, NULL);
	txn_delete(t, &entity_routes, str_from(id), true);
	if (with_service)
		txn_delete(t, &entity_services, str_from(id), false);
	admin_suspend(r);
	txn_commit(t, on_deleted, r);
}

/* What was made together goes together. */
static void delete_found(struct admin_request *r)
{
	if (!found(r))
		reply_missing(r);
	else
		delete_rows(r, json_equal(json_object_get(r->api->rows.route, "id"),
					  json_object_get(r->api->rows.service, "id")));
}

void apis_delete(struct admin_request *r)
{
	apis_begin(r);
	apis_bundle_find(r, r->segments[1], delete_found);
}
