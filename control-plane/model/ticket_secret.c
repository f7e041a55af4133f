/* ticket_secrets: what the fleet's session ticket keys are derived from (proto/README.md). */
#include "control-plane/model/entity.h"

static const struct field fields[] = {
	/* Text of the 32 bytes, as its maker encodes them. */
	{.name = "secret", .type = FIELD_STRING, .flags = FIELD_REQUIRED | FIELD_SECRET},
	{.name = "not_before", .type = FIELD_TIMESTAMP, .flags = FIELD_REQUIRED},
};

const struct entity entity_ticket_secrets = {
	.name = "ticket_secrets",
	.singular = "ticket_secret",
	.fields = fields,
	.field_count = array_len(fields),
	.internal = true,
	.pushed = true,
};
