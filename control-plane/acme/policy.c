#include "control-plane/acme/policy.h"

#include "common/pki/key.h"
#include "control-plane/acme/names.h"
#include "control-plane/model/plugin_acme.h"

/* Of the lifetime: a threshold beyond it would renew at once, again and again. */
static const double fraction_max = 0.67;

bool policy_covers(const json_t *config, struct str names)
{
	struct str rest = names, name;

	if (!json_is_object(config))
		return false;
	if (json_array_size(json_object_get(config, "domains")) == 0)
		return true;
	while ((name = names_first(rest, &rest)).len > 0)
		if (!plugin_acme_allows(config, name))
			return false;
	return true;
}

int policy_directory(const json_t *config, struct buf *out, struct err *e)
{
	struct str uri = str_from(policy_text(config, "api_uri"));

	if (!uri.ptr)
		return err_set(e, ERR_INVALID, "api_uri is not set");
	if (str_ends(uri, STR("/directory")))
		return buf_add_str(out, uri, e);
	if (uri.ptr[uri.len - 1] == '/')
		uri = str_sub(uri, 0, uri.len - 1);
	return buf_addf(out, e, "%.*s/directory", (int)uri.len, uri.ptr);
}

const char *policy_key_type(const json_t *config)
{
	static const struct {
		json_int_t bits;
		enum key_type type;
	} sizes[] = {{2048, KEY_RSA_2048}, {3072, KEY_RSA_3072}, {4096, KEY_RSA_4096}};
	json_int_t bits = json_integer_value(json_object_get(config, "rsa_key_size"));
	const char *kind = policy_text(config, "cert_type");

	if (kind && str_eq(str_from(kind), STR("ecc")))
		return key_type_name(KEY_EC_P256);
	for (size_t i = 0; i < array_len(sizes); i++)
		if (sizes[i].bits == bits)
			return key_type_name(sizes[i].type);
	return key_type_name(KEY_RSA_4096);
}

const char *policy_text(const json_t *config, const char *name)
{
	const char *text = json_string_value(json_object_get(config, name));

	return text && text[0] ? text : NULL;
}

double policy_renew_fraction(const json_t *config, int64_t lifetime_s, double fallback)
{
	double days = json_number_value(json_object_get(config, "renew_threshold_days"));
	double share = lifetime_s > 0 ? days * 86400 / (double)lifetime_s : 0;

	return share > 0 && share <= fraction_max ? share : fallback;
}

uint64_t policy_backoff_ms(const json_t *config)
{
	double minutes = json_number_value(json_object_get(config, "fail_backoff_minutes"));

	return minutes > 0 ? (uint64_t)(minutes * 60000) : 0;
}
