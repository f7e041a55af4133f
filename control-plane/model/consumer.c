/* consumers: who sends requests (kong-admin-api.md 2.8). */
#include "control-plane/model/condition.h"
#include "control-plane/model/entity.h"

static const struct field fields[] = {
	{.name = "username", .type = FIELD_STRING, .flags = FIELD_UNIQUE},
	{.name = "custom_id", .type = FIELD_STRING, .flags = FIELD_UNIQUE},
};

static void check(const json_t *entity, struct violations *v)
{
	if (!condition_is_set(entity, "username") && !condition_is_set(entity, "custom_id"))
		violations_add_entity(v,
				      "%sat least one of these fields must be non-empty: "
				      "'custom_id', 'username'",
				      v->updating ? "when updating, " : "");
}

static const char *const at_least_one[] = {"custom_id", "username", NULL};

const struct entity entity_consumers = {
	.name = "consumers",
	.singular = "consumer",
	.endpoint_key = "username",
	.fields = fields,
	.field_count = array_len(fields),
	.check = check,
	.at_least_one = at_least_one,
	.has_tags = true,
	.pushed = true,
};
