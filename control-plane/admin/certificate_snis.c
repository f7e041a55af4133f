#include "control-plane/admin/certificate_snis.h"

#include <stdlib.h>
#include <string.h>

#include "common/core/clock.h"
#include "control-plane/admin/fault.h"

struct check {
	struct admin_request *r;
	admin_handler next;
	const char *field;
};

/* Whether the row is the SNI that the path names. */
static bool is_of_path(const struct admin_request *r, const json_t *row)
{
	const json_t *name = json_object_get(row, "name");

	return r->key.ptr &&
	       str_ieq((struct str){json_string_value(name), json_string_length(name)}, r->key);
}

static void on_holders(const struct store_result *res, void *arg)
{
	struct check *c = arg;
	struct admin_request *r = c->r;
	admin_handler next = c->next;
	const char *field = c->field;
	struct violations v;
	const json_t *holder;

	free(c);
	if (!admin_resume(r))
		return;
	if (res->fault != STORE_OK) {
		fault_reply(r, r->entity, res);
		return;
	}
	holder = json_array_get(res->rows, 0);
	if (!holder) {
		next(r);
		return;
	}
	if (r->again && is_of_path(r, holder)) {
		r->again(r);
		return;
	}
	violations_init(&v);
	violations_add(&v, field, "%s already associated with existing certificate '%s'",
		       json_string_value(json_object_get(holder, "name")),
		       json_string_value(json_object_get(holder, "certificate")));
	fault_violations(r, &v);
	violations_deinit(&v);
}

/* A JSON array of the names: jsonb is the one list type that needs no quoting rules of its own. */
void certificate_snis_check(struct admin_request *r, const json_t *certificate, const char *field,
			    admin_handler next)
{
	json_t *names = json_object_get(certificate, "snis");
	struct check *c = calloc(1, sizeof(*c));
	char *text = json_dumps(names, JSON_COMPACT | JSON_ENCODE_ANY);
	const char *params[2];

	if (json_array_size(names) == 0) {
		free(c);
		free(text);
		next(r);
		return;
	}
	if (!c || !text) {
		free(c);
		free(text);
		fault_internal(r);
		return;
	}
	*c = (struct check){r, next, field};
	params[0] = text;
	params[1] = json_string_value(json_object_get(certificate, "id"));
	admin_suspend(r);
	store_query(r->ctx->store,
		    "SELECT name, certificate::text AS certificate FROM snis WHERE lower(name) IN "
		    "(SELECT lower(n) FROM jsonb_array_elements_text($1::jsonb) n) "
		    "AND certificate <> $2::uuid ORDER BY name LIMIT 1",
		    params, 2, on_holders, c);
	free(text);
}

/* The names as the keys of an object: a certificate may have thousands. NULL: out of memory. */
static json_t *names_set(const json_t *names)
{
	json_t *set = json_object();
	const json_t *name;
	size_t i;

	json_array_foreach(names, i, name)
	{
		if (set && json_object_set_new(set, json_string_value(name), json_true()) < 0) {
			json_decref(set);
			set = NULL;
		}
	}
	return set;
}

static int remove_names(const json_t *certificate, struct txn *t, const json_t *now, struct err *e)
{
	const char *params[2];
	char *keep = json_dumps(now ? now : json_null(), JSON_COMPACT | JSON_ENCODE_ANY);

	if (!keep)
		return err_memory(e, "removing SNIs");
	params[0] = json_string_value(json_object_get(certificate, "id"));
	params[1] = now ? keep : "[]";
	txn_exec(t,
		 "DELETE FROM snis WHERE certificate = $1::uuid AND name NOT IN "
		 "(SELECT jsonb_array_elements_text($2::jsonb))",
		 params, 2, 0, STORE_FAILED);
	free(keep);
	return 0;
}

static int add_name(const json_t *certificate, struct txn *t, const json_t *name, struct err *e)
{
	struct violations v;
	json_t *input = json_pack("{s:O, s:{s:O}}", "name", name, "certificate", "id",
				  json_object_get(certificate, "id"));
	json_t *sni;

	violations_init(&v);
	sni = input ? entity_create(&entity_snis, input, clock_wall_ms(), &v) : NULL;
	if (sni)
		txn_insert(t, &entity_snis, sni);
	json_decref(sni);
	json_decref(input);
	violations_deinit(&v);
	return sni ? 0 : err_set(e, ERR_INTERNAL, "an SNI that was checked was refused");
}

static int add_names(const json_t *certificate, struct txn *t, const json_t *now,
		     const json_t *before, struct err *e)
{
	json_t *known = names_set(before);
	json_t *name;
	int rc = known ? 0 : err_memory(e, "adding SNIs");
	size_t i;

	json_array_foreach(now, i, name)
	{
		if (rc == 0 && !json_object_get(known, json_string_value(name)))
			rc = add_name(certificate, t, name, e);
	}
	json_decref(known);
	return rc;
}

int certificate_snis_write(const json_t *certificate, const json_t *old, struct txn *t,
			   struct err *e)
{
	json_t *now = json_object_get(certificate, "snis");
	json_t *before = json_object_get(old, "snis");

	if (json_is_null(now))
		now = NULL;
	if (json_array_size(before) > 0 && remove_names(certificate, t, now, e) < 0)
		return -1;
	return add_names(certificate, t, now, before, e);
}
