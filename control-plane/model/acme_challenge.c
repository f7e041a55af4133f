/* acme_challenges: what data planes answer below /.well-known/acme-challenge/ (RFC 8555 8.3). */
#include "control-plane/model/entity.h"

static const struct field fields[] = {
	{.name = "host", .type = FIELD_STRING, .flags = FIELD_REQUIRED},
	{.name = "token", .type = FIELD_STRING, .flags = FIELD_REQUIRED},
	{.name = "key_authorization", .type = FIELD_STRING, .flags = FIELD_REQUIRED},
};

const struct entity entity_acme_challenges = {
	.name = "acme_challenges",
	.singular = "acme_challenge",
	.fields = fields,
	.field_count = array_len(fields),
	.internal = true,
	.pushed = true,
};
