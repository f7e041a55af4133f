/* Writing: POST, PUT, PATCH and DELETE of any entity. Each is one transaction, so one revision; a
 * row that changed between reading and writing is read again. */
#include "control-plane/admin/crud.h"

#include <stdlib.h>
#include <string.h>

#include "common/core/clock.h"
#include "common/core/codec.h"
#include "control-plane/admin/audit.h"
#include "control-plane/admin/certificate_snis.h"
#include "control-plane/admin/fault.h"
#include "control-plane/admin/plugin_certificate.h"
#include "control-plane/admin/plugin_scope.h"
#include "control-plane/admin/references.h"
#include "control-plane/model/verification.h"

/* Each time that clients clash one of them gets through: enough for some dozen at once. */
enum { TRIES_MAX = 20 };

static bool is_certificates(const struct admin_request *r)
{
	return r->entity == &entity_certificates;
}

static int compare_names(const void *a, const void *b)
{
	const json_t *const *x = a;
	const json_t *const *y = b;

	return strcmp(json_string_value(*x), json_string_value(*y));
}

/* Answers list names by bytes, [] when there are none. */
static void sort_names(json_t *row)
{
	json_t *names = json_object_get(row, "snis");
	size_t n = json_array_size(names);
	json_t *sorted = json_array();
	json_t **items = n ? calloc(n, sizeof(*items)) : NULL;

	for (size_t i = 0; items && i < n; i++)
		items[i] = json_array_get(names, i);
	if (items)
		qsort(items, n, sizeof(json_t *), compare_names);
	for (size_t i = 0; items && i < n; i++)
		json_array_append(sorted, items[i]);
	free(items);
	json_object_set_new(row, "snis", sorted);
}

static void reply_row(struct admin_request *r, unsigned status, uint64_t revision)
{
	if (is_certificates(r))
		sort_names(r->row);
	admin_reply_write(r, status, crud_show(r, r->row), revision);
}

/* The path's parent goes over what the body says. */
static void force_parent(struct admin_request *r)
{
	if (r->parent)
		json_object_set_new(r->input, crud_parent_field(r),
				    json_pack("{s:s}", "id", r->parent_id));
}

static void build(struct admin_request *r, const json_t *old)
{
	struct violations v;
	int64_t now_ms = clock_wall_ms();

	/* What a form's values mean may follow from the row. */
	if (old && r->form)
		entity_coerce_form(r->entity, r->input, old);
	violations_init(&v);
	json_decref(r->row);
	r->row = old ? entity_merge(r->entity, old, r->input, now_ms, &v)
		     : entity_create(r->entity, r->input, now_ms, &v);
	if (r->ctx->conf.verify)
		verification_check(r->entity, r->row, &v);
	if (violations_any(&v)) {
		json_decref(r->row);
		r->row = NULL;
	}
	if (!r->row)
		fault_violations(r, &v);
	violations_deinit(&v);
}

/* The database keeps names apart by itself: whose a name is is asked only after it refused one,
 * which saves each write a round trip. */
static void check_certificate(struct admin_request *r, admin_handler next)
{
	if (r->tries == 0)
		next(r);
	else
		certificate_snis_check(r, r->row, "snis", next);
}

static void check_plugin_pair(struct admin_request *r)
{
	plugin_certificate_check(r, r->checked);
}

static void check_plugin(struct admin_request *r, admin_handler next)
{
	r->checked = next;
	plugin_scope_check(r, check_plugin_pair);
}

/* Checks that need the database, by entity. */
static void check_then(struct admin_request *r, admin_handler next)
{
	static const struct {
		const struct entity *entity;
		void (*check)(struct admin_request *r, admin_handler next);
	} checks[] = {
		{&entity_certificates, check_certificate},
		{&entity_plugins, check_plugin},
	};

	/* What is going to be refused anyway needs no such check. */
	for (size_t i = 0; i < array_len(checks) && !store_read_only(r->ctx->store); i++) {
		if (checks[i].entity != r->entity)
			continue;
		checks[i].check(r, next);
		return;
	}
	next(r);
}

/* Makes the entity of the path refer to what was built. Answers unless it returns true. */
static bool link_child(struct admin_request *r, struct txn *t)
{
	int64_t version = json_integer_value(json_object_get(r->linked, "version"));
	json_t *patch = json_pack("{s:{s:O}}", r->via->name, "id", json_object_get(r->row, "id"));
	struct violations v;
	json_t *row = NULL;

	violations_init(&v);
	if (patch)
		row = entity_merge(r->child, r->linked, patch, clock_wall_ms(), &v);
	else
		v.no_memory = true;
	if (row)
		txn_update(t, r->child, row, version);
	else
		fault_violations(r, &v);
	json_decref(patch);
	json_decref(row);
	violations_deinit(&v);
	return row != NULL;
}

/* Rows that are written along, by entity. */
static int write_along(struct admin_request *r, struct txn *t, struct err *e)
{
	if (is_certificates(r))
		return certificate_snis_write(r->row, r->old, t, e);
	if (r->entity == &entity_plugins)
		return plugin_certificate_write(r, t, e);
	return 0;
}

static void commit(struct admin_request *r, struct txn *t, store_done done)
{
	struct err e = ERR_INIT;

	if (r->linked && !link_child(r, t)) {
		txn_free(t);
		return;
	}
	if (write_along(r, t, &e) < 0) {
		txn_free(t);
		fault_internal(r);
		return;
	}
	audit_entity(r, t, r->entity, r->old, r->row);
	admin_suspend(r);
	txn_commit(t, done, r);
}

/* Whether a name of this certificate belongs to another one: looking tells whose it is. */
static bool lost_a_name(const struct admin_request *r, const struct store_result *res)
{
	return is_certificates(r) && res->fault == STORE_UNIQUE && res->entity == &entity_snis;
}

/* --- POST --- */

static void insert(struct admin_request *r);

static void on_inserted(const struct store_result *res, void *arg)
{
	struct admin_request *r = arg;

	if (!admin_resume(r))
		return;
	if (lost_a_name(r, res) && ++r->tries < TRIES_MAX)
		check_then(r, insert);
	else if (res->fault != STORE_OK)
		fault_reply(r, r->entity, res);
	else
		reply_row(r, 201, res->revision);
}

static void insert(struct admin_request *r)
{
	struct txn *t = audit_begin(r);

	if (!t)
		return;
	txn_insert(t, r->entity, r->row);
	commit(r, t, on_inserted);
}

static void post_resolved(struct admin_request *r)
{
	build(r, NULL);
	if (r->row)
		check_then(r, insert);
}

static void post(struct admin_request *r)
{
	force_parent(r);
	references_resolve(r, post_resolved);
}

void crud_post(struct admin_request *r)
{
	crud_resolve(r, false, post);
}

/* --- PATCH --- */

static void patch(struct admin_request *r);

static void on_updated(const struct store_result *res, void *arg)
{
	struct admin_request *r = arg;

	if (!admin_resume(r))
		return;
	if ((res->fault == STORE_VERSION || lost_a_name(r, res)) && ++r->tries < TRIES_MAX)
		crud_resolve(r, true, patch);
	else if (res->fault != STORE_OK)
		fault_reply(r, r->entity, res);
	else
		reply_row(r, 200, res->revision);
}

static void update(struct admin_request *r)
{
	struct txn *t = audit_begin(r);

	if (!t)
		return;
	txn_update(t, r->entity, r->row, json_integer_value(json_object_get(r->old, "version")));
	commit(r, t, on_updated);
}

static bool is_elsewhere(const struct admin_request *r)
{
	const char *id;

	if (!r->parent)
		return false;
	id = json_string_value(
		json_object_get(json_object_get(r->old, crud_parent_field(r)), "id"));
	return !id || strcmp(id, r->parent_id) != 0;
}

/* Kong answers in three ways. */
static void patch_missing(struct admin_request *r)
{
	bool nameless = r->entity == &entity_plugins && !json_object_get(r->input, "name");

	if (r->parent || nameless)
		admin_reply_message(r, 404, "Not found");
	else if (is_certificates(r) && !uuid_is(r->key))
		admin_reply_message(r, 404, "SNI not found");
	else
		fault_not_found(r, r->entity, r->key);
}

static void patch_resolved(struct admin_request *r)
{
	build(r, r->old);
	if (r->row)
		check_then(r, update);
}

static void patch(struct admin_request *r)
{
	if (!r->old || is_elsewhere(r))
		patch_missing(r);
	else
		references_resolve(r, patch_resolved);
}

void crud_patch(struct admin_request *r)
{
	crud_resolve(r, true, patch);
}

/* --- PUT --- */

static void put(struct admin_request *r);

/* Whether another client made or changed the row after it was looked for. */
static bool raced(const struct admin_request *r, const struct store_result *res)
{
	const char *name = uuid_is(r->key) ? NULL : r->entity->endpoint_key;

	if (res->fault == STORE_VERSION || lost_a_name(r, res))
		return true;
	if (r->old)
		return false;
	return res->fault == STORE_PRIMARY_KEY ||
	       (res->fault == STORE_UNIQUE && name && json_object_get(res->key, name));
}

static void on_put(const struct store_result *res, void *arg)
{
	struct admin_request *r = arg;

	if (!admin_resume(r))
		return;
	if (raced(r, res) && ++r->tries < TRIES_MAX)
		crud_resolve(r, true, put);
	else if (res->fault != STORE_OK)
		fault_reply(r, r->entity, res);
	else
		reply_row(r, 200, res->revision);
}

static void replace(struct admin_request *r)
{
	struct txn *t = audit_begin(r);

	if (!t)
		return;
	if (r->old)
		txn_update(t, r->entity, r->row,
			   json_integer_value(json_object_get(r->old, "version")));
	else
		txn_insert(t, r->entity, r->row);
	commit(r, t, on_put);
}

/* A certificate that is put under a name gets that name, whatever its list says
 * (kong-admin-api.md 2.1). */
static void add_own_name(struct admin_request *r)
{
	json_t *names = json_object_get(r->input, "snis");
	json_t *name = json_stringn(r->key.ptr, r->key.len);
	size_t i;
	json_t *one;

	if (json_is_string(names)) {
		names = json_pack("[O]", names);
		json_object_set_new(r->input, "snis", names);
	}
	if (!json_is_array(names)) {
		names = json_array();
		json_object_set_new(r->input, "snis", names);
	}
	json_array_foreach(names, i, one)
	{
		if (json_equal(one, name)) {
			json_decref(name);
			return;
		}
	}
	json_array_append_new(names, name);
}

/* The URL's id or name wins over the body's; a row that exists keeps its id. */
static void put_key(struct admin_request *r)
{
	if (!r->key.ptr)
		return;
	if (uuid_is(r->key))
		json_object_set_new(r->input, "id", json_stringn(r->key.ptr, r->key.len));
	else if (is_certificates(r))
		add_own_name(r);
	else if (r->entity->endpoint_key)
		json_object_set_new(r->input, r->entity->endpoint_key,
				    json_stringn(r->key.ptr, r->key.len));
	if (r->old)
		json_object_set(r->input, "id", json_object_get(r->old, "id"));
}

static void put_again(struct admin_request *r)
{
	crud_resolve(r, true, put);
}

static void put_resolved(struct admin_request *r)
{
	/* Under a name that nobody had: whoever has it by then is who is replaced. */
	r->again = r->old || uuid_is(r->key) || ++r->tries >= TRIES_MAX ? NULL : put_again;
	build(r, NULL);
	if (r->row)
		check_then(r, replace);
}

static void put(struct admin_request *r)
{
	put_key(r);
	force_parent(r);
	references_resolve(r, put_resolved);
}

/* Targets are never created by PUT: clients then POST (kong-admin-api.md 2.7). */
void crud_put(struct admin_request *r)
{
	crud_resolve(r, true, r->entity->below_parent ? patch : put);
}

/* --- DELETE --- */

static void on_deleted(const struct store_result *res, void *arg)
{
	struct admin_request *r = arg;

	if (!admin_resume(r))
		return;
	if (res->fault != STORE_OK && res->fault != STORE_NOT_FOUND)
		fault_reply(r, r->entity, res);
	else
		admin_reply_write(r, 204, NULL, res->revision);
}

static void del(struct admin_request *r)
{
	struct txn *t;

	if (r->parent && (!r->old || is_elsewhere(r))) {
		admin_reply_message(r, 404, "Not found");
		return;
	}
	if (!r->old && is_certificates(r) && !uuid_is(r->key)) {
		admin_reply_message(r, 404, "SNI not found");
		return;
	}
	if (!r->old) {
		admin_reply_empty(r, 204);
		return;
	}
	t = audit_begin(r);
	if (!t)
		return;
	txn_delete(t, r->entity, str_from(json_string_value(json_object_get(r->old, "id"))), false);
	audit_entity(r, t, r->entity, r->old, NULL);
	admin_suspend(r);
	txn_commit(t, on_deleted, r);
}

void crud_delete(struct admin_request *r)
{
	crud_resolve(r, true, del);
}
