#include "control-plane/acme/show.h"

#include "common/core/str.h"

struct shown {
	const char *name, *column;
};
static const struct shown members[] = {
	{"id", "id"},
	{"host", "host"},
	{"directory", "directory"},
	{"key_type", "key_type"},
	{"state", "state"},
	{"renewal", "renewal"},
	{"attempts", "attempts"},
	{"next_attempt", "next_attempt"},
	{"last_problem", "problem"},
	{"certificate", "certificate_id"},
	{"revision", "revision"},
	{"not_after", "not_after"},
	{"renew_at", "renew_at"},
	{"created_at", "created_at"},
	{"updated_at", "updated_at"},
	{"lease_owner", "lease_owner"},
};

static json_t *missing_nodes(const json_t *row, struct fleet *fleet)
{
	const char *state = json_string_value(json_object_get(row, "state"));
	json_int_t revision = json_integer_value(json_object_get(row, "challenge_revision"));

	if (!state || !str_eq(str_from(state), STR("publishing")) || revision <= 0)
		return json_array();
	return fleet_missing(fleet, (uint64_t)revision);
}

static json_t *show_order(const json_t *row, struct fleet *fleet)
{
	json_t *o = json_object();
	int rc = o ? 0 : -1;

	for (size_t i = 0; rc == 0 && i < array_len(members); i++) {
		json_t *v = json_object_get(row, members[i].column);

		if (json_is_string(v) && str_eq(str_from(members[i].name), STR("certificate")))
			rc = json_object_set_new(o, members[i].name, json_pack("{s:O}", "id", v));
		else
			rc = json_object_set_new(o, members[i].name,
						 v ? json_incref(v) : json_null());
	}
	if (rc == 0 && fleet)
		rc = json_object_set_new(o, "missing_nodes", missing_nodes(row, fleet));
	if (rc == 0)
		return o;
	json_decref(o);
	return NULL;
}

json_t *show_orders(const json_t *rows, struct fleet *fleet)
{
	json_t *out = json_array();
	const json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		if (!out || json_array_append_new(out, show_order(row, fleet)) != 0) {
			json_decref(out);
			return NULL;
		}
	}
	return out;
}
