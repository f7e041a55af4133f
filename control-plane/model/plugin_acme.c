#include "control-plane/model/plugin_acme.h"

#include <string.h>

#include "control-plane/model/condition.h"
#include "control-plane/model/host.h"

static const char *const cert_types[] = {"rsa", "ecc", NULL};
static const char *const storages[] = {"kong", "shm", "redis", "consul", "vault", NULL};
static const char *const auth_methods[] = {"token", "kubernetes", NULL};

static int check_email(const json_t *value, struct err *e)
{
	return strchr(json_string_value(value), '@')
		       ? 0
		       : err_set(e, ERR_INVALID, "invalid value: %s", json_string_value(value));
}

static int check_url(const json_t *value, struct err *e)
{
	struct str url = {json_string_value(value), json_string_length(value)};

	if (!str_starts(url, STR("https://")) && !str_starts(url, STR("http://")))
		return err_set(e, ERR_INVALID, "missing host in url");
	return 0;
}

static int check_rsa_size(const json_t *value, struct err *e)
{
	long long bits = json_integer_value(value);

	if (bits == 2048 || bits == 3072 || bits == 4096)
		return 0;
	return err_set(e, ERR_INVALID, "expected one of: 2048, 3072, 4096");
}

static int check_namespace(const json_t *value, struct err *e)
{
	static const char *const reserved[] = {
		"kong_acme:renew_config:", "kong_acme:renew_last_run", "kong_acme:cert_key:"};
	struct str name = {json_string_value(value), json_string_length(value)};

	for (size_t i = 0; i < array_len(reserved); i++)
		if (str_starts(name, str_from(reserved[i])))
			return err_set(e, ERR_INVALID,
				       "namespace can't be prefixed with "
				       "reserved keyword: %s",
				       reserved[i]);
	return 0;
}

#define STRING(of)                                                                                 \
	{                                                                                          \
		.name = of, .type = FIELD_STRING                                                   \
	}
#define SECRET(of)                                                                                 \
	{                                                                                          \
		.name = of, .type = FIELD_STRING, .flags = FIELD_SECRET                            \
	}
#define SWITCH(of, value)                                                                          \
	{                                                                                          \
		.name = of, .type = FIELD_BOOLEAN, .fallback = value                               \
	}
#define PORT(of, value)                                                                            \
	{                                                                                          \
		.name = of, .type = FIELD_INTEGER, .fallback = value, .min = 0, .max = 65535       \
	}
#define TIMEOUT(value)                                                                             \
	{                                                                                          \
		.name = "timeout", .type = FIELD_INTEGER, .fallback = value, .min = 0,             \
		.max = INT32_MAX                                                                   \
	}
#define RECORD(of, table)                                                                          \
	{                                                                                          \
		.name = of, .type = FIELD_RECORD, .flags = FIELD_REQUIRED, .fields = table,        \
		.field_count = array_len(table)                                                    \
	}

static const struct field account_key[] = {
	{.name = "key_id", .type = FIELD_STRING, .flags = FIELD_REQUIRED},
	STRING("key_set"),
};

static const struct field shm[] = {
	{.name = "shm_name", .type = FIELD_STRING, .fallback = "\"kong\""}};

static const struct field redis_extra[] = {
	{
		.name = "namespace",
		.type = FIELD_STRING,
		.flags = FIELD_REQUIRED | FIELD_EMPTY,
		.fallback = "\"\"",
		.check = check_namespace,
	},
	{.name = "scan_count", .type = FIELD_NUMBER, .fallback = "10", .min = 1, .max = INT32_MAX},
};
static const struct field redis[] = {
	{.name = "host", .type = FIELD_STRING, .check = host_check},
	PORT("port", "6379"),
	TIMEOUT("2000"),
	STRING("username"),
	SECRET("password"),
	{.name = "database", .type = FIELD_INTEGER, .fallback = "0", .min = 0, .max = INT32_MAX},
	SWITCH("ssl", "false"),
	SWITCH("ssl_verify", "false"),
	{.name = "server_name", .type = FIELD_STRING, .check = host_check},
	RECORD("extra_options", redis_extra),
};
static const struct field consul[] = {
	SWITCH("https", "false"),
	{.name = "host", .type = FIELD_STRING, .check = host_check},
	PORT("port", NULL),
	STRING("kv_path"),
	TIMEOUT(NULL),
	SECRET("token"),
};
static const struct field vault[] = {
	SWITCH("https", "false"),
	{.name = "host", .type = FIELD_STRING, .check = host_check},
	PORT("port", NULL),
	STRING("kv_path"),
	TIMEOUT(NULL),
	SECRET("token"),
	SWITCH("tls_verify", "true"),
	STRING("tls_server_name"),
	{
		.name = "auth_method",
		.type = FIELD_STRING,
		.flags = FIELD_REQUIRED,
		.fallback = "\"token\"",
		.one_of = auth_methods,
	},
	STRING("auth_path"),
	STRING("auth_role"),
	STRING("jwt_path"),
};
static const struct field storage_config[] = {
	RECORD("shm", shm),	{.name = "kong", .type = FIELD_RECORD, .flags = FIELD_REQUIRED},
	RECORD("redis", redis), RECORD("consul", consul),
	RECORD("vault", vault),
};

static const struct field domain_element = {
	.name = "domain",
	.type = FIELD_STRING,
	.flags = FIELD_REQUIRED,
	.check = host_check_wildcard,
};

const struct field plugin_acme_config[PLUGIN_ACME_FIELDS] = {
	{
		.name = "account_email",
		.type = FIELD_STRING,
		.flags = FIELD_REQUIRED,
		.check = check_email,
	},
	{
		.name = "account_key",
		.type = FIELD_RECORD,
		.fields = account_key,
		.field_count = array_len(account_key),
	},
	{
		.name = "api_uri",
		.type = FIELD_STRING,
		.fallback = "\"https://acme-v02.api.letsencrypt.org/directory\"",
		.check = check_url,
	},
	SWITCH("tos_accepted", "false"),
	STRING("eab_kid"),
	SECRET("eab_hmac_key"),
	{.name = "cert_type", .type = FIELD_STRING, .fallback = "\"rsa\"", .one_of = cert_types},
	{
		.name = "rsa_key_size",
		.type = FIELD_INTEGER,
		.fallback = "4096",
		.check = check_rsa_size,
	},
	{
		.name = "renew_threshold_days",
		.type = FIELD_NUMBER,
		.fallback = "14",
		.min = 0,
		.max = 36500,
	},
	{.name = "domains", .type = FIELD_ARRAY, .elements = &domain_element},
	SWITCH("allow_any_domain", "false"),
	{
		.name = "fail_backoff_minutes",
		.type = FIELD_NUMBER,
		.fallback = "5",
		.min = 0,
		.max = 1000000,
	},
	{.name = "storage", .type = FIELD_STRING, .fallback = "\"kong\"", .one_of = storages},
	RECORD("storage_config", storage_config),
	STRING("preferred_chain"),
	SWITCH("enable_ipv4_common_name", "true"),
	STRING("profile"),
};

/* Kong's rule, as it is: with the path of the directory behind it the address is not looked at. */
static bool is_lets_encrypt(const char *url)
{
	static const char *const names[] = {"https://acme-v02.api.letsencrypt.org",
					    "https://acme-staging-v02.api.letsencrypt.org"};

	for (size_t i = 0; url && i < array_len(names); i++)
		if (strcmp(url, names[i]) == 0)
			return true;
	return false;
}

void plugin_acme_check(const json_t *config, struct violations *v)
{
	const char *storage = json_string_value(json_object_get(config, "storage"));
	const json_t *redis_config =
		json_object_get(json_object_get(config, "storage_config"), "redis");

	if (is_lets_encrypt(json_string_value(json_object_get(config, "api_uri"))) &&
	    !json_is_true(json_object_get(config, "tos_accepted")))
		violations_add(v, "config.tos_accepted",
			       "terms of service must be accepted, see "
			       "https://letsencrypt.org/repository/");
	if (condition_is_set(config, "eab_kid") != condition_is_set(config, "eab_hmac_key"))
		violations_add(v,
			       condition_is_set(config, "eab_kid") ? "config.eab_hmac_key"
								   : "config.eab_kid",
			       "required field missing");
	if (storage && strcmp(storage, "redis") == 0 && !condition_is_set(redis_config, "host"))
		violations_add(v, "config.storage_config.redis.host", "required field missing");
}

static bool fits(struct str pattern, struct str name)
{
	struct str rest = str_sub(pattern, 1, pattern.len);

	if (pattern.len > 0 && pattern.ptr[0] == '*')
		return name.len > rest.len &&
		       str_ieq(str_sub(name, name.len - rest.len, name.len), rest);
	if (pattern.len > 0 && pattern.ptr[pattern.len - 1] == '*')
		return name.len >= pattern.len && str_ieq(str_sub(name, 0, pattern.len - 1),
							  str_sub(pattern, 0, pattern.len - 1));
	return str_ieq(pattern, name);
}

bool plugin_acme_allows(const json_t *config, struct str name)
{
	const json_t *domains = json_object_get(config, "domains"), *domain;
	size_t i;

	if (json_is_true(json_object_get(config, "allow_any_domain")))
		return true;
	json_array_foreach(domains, i, domain)
	{
		if (fits((struct str){json_string_value(domain), json_string_length(domain)}, name))
			return true;
	}
	return false;
}
