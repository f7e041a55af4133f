/* targets: the addresses of an upstream (kong-admin-api.md 2.7). Kept as host:port. */
#include "control-plane/model/entity.h"
#include "control-plane/model/host.h"

enum { WEIGHT_MAX = 65535 };

static const struct field fields[] = {
	{
		.name = "target",
		.type = FIELD_STRING,
		.flags = FIELD_REQUIRED,
		.check = host_check_target,
	},
	{
		.name = "weight",
		.type = FIELD_INTEGER,
		.fallback = "100",
		.max = WEIGHT_MAX,
	},
	{
		.name = "upstream",
		.type = FIELD_FOREIGN,
		.flags = FIELD_REQUIRED,
		.reference = "upstreams",
	},
};

/* What cannot be read stays as it is: the field's check refuses it. */
static void prepare(json_t *input, const json_t *old, struct violations *v)
{
	const json_t *given = json_object_get(input, "target");
	struct str s = {json_string_value(given), json_string_length(given)};
	struct buf text = BUF_INIT;
	struct err e = ERR_INIT;

	(void)old;
	if (!s.ptr || s.len != strlen(s.ptr))
		return;
	if (host_target(&text, s, &e) == 0 &&
	    json_object_set_new(input, "target", json_stringn(text.data, text.len)) < 0)
		v->no_memory = true;
	buf_deinit(&text);
}

static const char *const composite[] = {"target", "upstream", NULL};

const struct entity entity_targets = {
	.name = "targets",
	.singular = "target",
	.endpoint_key = "target",
	.fields = fields,
	.field_count = array_len(fields),
	.prepare = prepare,
	.composite = composite,
	.has_tags = true,
	.below_parent = true,
	.newest_first = true,
	.precise_times = true,
	.pushed = true,
};
