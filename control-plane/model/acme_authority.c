/* acme_authorities: CAs that certificates can be had from, by preference; with those of the
 * configuration, which come first. Cardea's own. */
#include <strings.h>

#include "control-plane/model/entity.h"

static int check_directory(const json_t *value, struct err *e)
{
	if (strncasecmp(json_string_value(value), "https://", 8) != 0)
		return err_set(e, ERR_INVALID, "must be an https URL");
	return 0;
}

static const struct field fields[] = {
	{.name = "name", .type = FIELD_STRING, .flags = FIELD_REQUIRED | FIELD_UNIQUE},
	{.name = "directory",
	 .type = FIELD_STRING,
	 .flags = FIELD_REQUIRED | FIELD_UNIQUE,
	 .check = check_directory},
	{.name = "preference",
	 .type = FIELD_INTEGER,
	 .flags = FIELD_REQUIRED,
	 .fallback = "100",
	 .min = 0,
	 .max = 1000000},
	{.name = "contact", .type = FIELD_STRING},
	{.name = "ca_file", .type = FIELD_STRING},
	{.name = "ca_cert", .type = FIELD_STRING},
	{.name = "eab_kid", .type = FIELD_STRING},
	{.name = "eab_hmac_key", .type = FIELD_STRING, .flags = FIELD_SECRET},
	{.name = "eab_url", .type = FIELD_STRING, .check = check_directory},
	{.name = "account_key", .type = FIELD_STRING, .flags = FIELD_SECRET},
	{.name = "tos_accepted",
	 .type = FIELD_BOOLEAN,
	 .flags = FIELD_REQUIRED,
	 .fallback = "false"},
	{.name = "profile", .type = FIELD_STRING},
	{.name = "limits", .type = FIELD_STRING},
	{.name = "requests_max",
	 .type = FIELD_INTEGER,
	 .flags = FIELD_REQUIRED,
	 .fallback = "64",
	 .min = 1,
	 .max = 10000},
};

static const char *const binding[] = {"eab_kid", "eab_hmac_key", NULL};

const struct entity entity_acme_authorities = {
	.name = "acme_authorities",
	.singular = "acme_authority",
	.endpoint_key = "name",
	.fields = fields,
	.field_count = array_len(fields),
	.all_or_none = binding,
	.has_tags = true,
};
