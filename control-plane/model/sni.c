/* snis: names and the certificate each is served with (kong-admin-api.md 2.2). */
#include "control-plane/model/entity.h"
#include "control-plane/model/host.h"

static const char *const versions[] = {"TLSv1.2", "TLSv1.3", NULL};

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
	/* Cardea's own: the oldest version of TLS in handshakes for this name. */
	{.name = "tls_min_version", .type = FIELD_STRING, .one_of = versions},
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
