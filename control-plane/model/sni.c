/* snis: names and the certificate each is served with (kong-admin-api.md 2.2). */
#include "control-plane/model/entity.h"
#include "control-plane/model/host.h"

static const struct field fields[] = {
	{
		.name = "name",
		.type = FIELD_STRING,
		.flags = FIELD_REQUIRED | FIELD_UNIQUE | FIELD_CASELESS,
		.check = host_check_wildcard,
	},
	{
		.name = "certificate",
		.type = FIELD_FOREIGN,
		.flags = FIELD_REQUIRED,
		.reference = "certificates",
	},
};

const struct entity entity_snis = {
	.name = "snis",
	.singular = "sni",
	.endpoint_key = "name",
	.fields = fields,
	.field_count = array_len(fields),
	.has_tags = true,
	.pushed = true,
	.no_reverse = true,
};
