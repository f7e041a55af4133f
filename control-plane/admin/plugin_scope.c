/* Plugins and the protocols of their routes. */
#include "control-plane/admin/plugin_scope.h"

#include <stdlib.h>

#include "control-plane/admin/fault.h"

struct check {
	struct admin_request *r;
	admin_handler next;
	const char *refusal;
};

static void on_counted(const struct store_result *res, void *arg)
{
	struct check *c = arg;
	struct admin_request *r = c->r;
	admin_handler next = c->next;
	const char *refusal = c->refusal;
	const json_t *row = json_array_get(res->rows, 0);
	struct violations v;

	free(c);
	if (!admin_resume(r))
		return;
	if (res->fault != STORE_OK) {
		fault_reply(r, r->entity, res);
		return;
	}
	if (json_integer_value(json_object_get(row, "routes")) == 0 ||
	    json_integer_value(json_object_get(row, "fitting")) > 0) {
		next(r);
		return;
	}
	violations_init(&v);
	violations_add(&v, "protocols", "%s", refusal);
	fault_violations(r, &v);
	violations_deinit(&v);
}

static const char *id_of(const json_t *row, const char *field)
{
	return json_string_value(json_object_get(json_object_get(row, field), "id"));
}

void plugin_scope_check(struct admin_request *r, admin_handler next)
{
	const char *route = id_of(r->row, "route"), *service = id_of(r->row, "service");
	struct check *c;
	char *protocols;
	const char *params[2];

	if (!route && !service) {
		next(r);
		return;
	}
	c = calloc(1, sizeof(*c));
	protocols = json_dumps(json_object_get(r->row, "protocols"), JSON_COMPACT);
	if (!c || !protocols) {
		free(c);
		free(protocols);
		fault_internal(r);
		return;
	}
	*c = (struct check){r, next,
			    route ? "must match the associated route's protocols"
				  : "must match the protocols of at least one route pointing to "
				    "this Plugin's service"};
	params[0] = protocols;
	params[1] = route ? route : service;
	admin_suspend(r);
	store_query(r->ctx->store,
		    route ? "SELECT count(*) AS routes, count(*) FILTER (WHERE protocols && "
			    "ARRAY(SELECT jsonb_array_elements_text($1::jsonb))) AS fitting FROM "
			    "routes WHERE id = $2::uuid"
			  : "SELECT count(*) AS routes, count(*) FILTER (WHERE protocols && "
			    "ARRAY(SELECT jsonb_array_elements_text($1::jsonb))) AS fitting FROM "
			    "routes WHERE service = $2::uuid",
		    params, 2, on_counted, c);
	free(protocols);
}
