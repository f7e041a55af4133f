/* mtls_auth_credentials, header_cert_auth_credentials: consumers by a name in the client's
 * certificate, for the plugins mtls-auth and header-cert-auth (kong-acme-hybrid.md 5.1, 5.2), of
 * the same fields. Without ca_certificate: whoever issued it. */
#include "control-plane/model/entity.h"

enum { SUBJECT_NAME_MAX = 512 }; /* data planes look at no longer names of a certificate */

static int check_name(const json_t *value, struct err *e)
{
	if (json_string_length(value) > SUBJECT_NAME_MAX)
		return err_set(e, ERR_INVALID, "length must be at most %d", SUBJECT_NAME_MAX);
	return 0;
}

static const struct field fields[] = {
	{
		.name = "consumer",
		.type = FIELD_FOREIGN,
		.flags = FIELD_REQUIRED,
		.reference = "consumers",
	},
	{
		.name = "subject_name",
		.type = FIELD_STRING,
		.flags = FIELD_REQUIRED,
		.check = check_name,
	},
	{.name = "ca_certificate", .type = FIELD_FOREIGN, .reference = "ca_certificates"},
};

static const char *const composite[] = {"ca_certificate", "subject_name", NULL};

const struct entity entity_mtls_auth_credentials = {
	.name = "mtls_auth_credentials",
	.singular = "mtls_auth_credential",
	.path = "mtls-auths",
	.path_below = "mtls-auth",
	.fields = fields,
	.field_count = array_len(fields),
	.composite = composite,
	.has_tags = true,
	.pushed = true,
};

const struct entity entity_header_cert_auth_credentials = {
	.name = "header_cert_auth_credentials",
	.singular = "header_cert_auth_credential",
	.path = "header-cert-auths",
	.path_below = "header-cert-auth",
	.fields = fields,
	.field_count = array_len(fields),
	.composite = composite,
	.has_tags = true,
	.pushed = true,
};
