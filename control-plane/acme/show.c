#include "control-plane/acme/show.h"

#include "common/core/str.h"
#include "control-plane/acme/lane.h"

struct shown {
	const char *name, *column;
};
static const struct shown members[] = {
	{"id", "id"},
	{"host", "host"},
	{"directory", "directory"},
	{"key_type", "key_type"},
	{"key_type_alt", "key_type_alt"},
	{"pair_of", "pair_of"},
	{"alternative", "alternative"},
	{"profile", "profile"},
	{"preferred_chain", "preferred_chain"},
	{"renewal_explanation", "ari_explanation"},
	{"state", "state"},
	{"renewal", "renewal"},
	{"attempts", "attempts"},
	{"next_attempt", "next_attempt"},
	{"last_problem", "problem"},
	{"authority", "ca"},
	{"failures", "failures"},
	{"unpause_url", "unpause_url"},
	{"dropped", "dropped"},
	{"certificate", "certificate_id"},
	{"revision", "revision"},
	{"not_after", "not_after"},
	{"renew_at", "renew_at"},
	{"revoked_at", "revoked_at"},
	{"revocation_reason", "revocation_reason"},
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

/* All names of the set. */
static json_t *hosts(const json_t *row)
{
	const char *more = json_string_value(json_object_get(row, "more"));
	json_t *list = json_pack("[O]", json_object_get(row, "host"));
	struct str rest = more && more[0] ? str_from(more) : STR_NONE, name = STR_NONE;

	while (list && str_split(&rest, ' ', &name))
		(void)json_array_append_new(list, json_stringn(name.ptr, name.len));
	return list;
}

/* Those that were read: how each name is proved, and whether it is. */
static json_t *authorizations(const json_t *row)
{
	json_t *list = json_array();
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(row, "authorizations"), i, one)
	{
		json_t *name = json_object_get(one, "name"), *type = json_object_get(one, "type");
		bool valid = json_is_true(json_object_get(one, "valid"));

		if (list && name)
			(void)json_array_append_new(
				list, json_pack("{s:O, s:O?, s:s}", "host", name, "challenge", type,
						"status", valid ? "valid" : "pending"));
	}
	return list;
}

static json_t *show_order(const json_t *row, struct fleet *fleet)
{
	json_int_t lane = json_integer_value(json_object_get(row, "lane"));
	json_t *o = json_object();
	int rc = o ? 0 : -1;

	if (rc == 0)
		rc = json_object_set_new(o, "hosts", hosts(row));
	if (rc == 0)
		rc = json_object_set_new(o, "authorizations", authorizations(row));
	if (rc == 0)
		rc = json_object_set_new(o, "lane", json_string(lane_name((enum lane)lane)));

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
