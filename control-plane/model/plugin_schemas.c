/* The table of plugins. */
#include "control-plane/model/plugin_schemas.h"

#include <string.h>

#include "control-plane/model/certificate.h"
#include "control-plane/model/condition.h"
#include "control-plane/model/host.h"
#include "control-plane/model/plugin_acme.h"

#define CONFIG(of)                                                                                 \
	{                                                                                          \
		.name = "config", .type = FIELD_RECORD, .flags = FIELD_REQUIRED, .fields = of,     \
		.field_count = array_len(of)                                                       \
	}

static const struct field request_termination[] = {
	{
		.name = "status_code",
		.type = FIELD_INTEGER,
		.flags = FIELD_REQUIRED,
		.fallback = "503",
		.min = 100,
		.max = 599,
	},
	{.name = "message", .type = FIELD_STRING},
	{.name = "content_type", .type = FIELD_STRING},
	{.name = "body", .type = FIELD_STRING},
	{
		.name = "echo",
		.type = FIELD_BOOLEAN,
		.flags = FIELD_REQUIRED,
		.fallback = "false",
	},
	{.name = "trigger", .type = FIELD_STRING},
};

static void check_request_termination(const json_t *config, struct violations *v)
{
	bool body = condition_is_set(config, "body");
	bool content_type = condition_is_set(config, "content_type");

	if (condition_is_set(config, "message") && (body || content_type))
		violations_add(v, "config", "message cannot be used with content_type or body");
	if (content_type && !body)
		violations_add(v, "config", "content_type requires a body");
}

static const struct field ssl[] = {
	{
		.name = "cert",
		.type = FIELD_STRING,
		.flags = FIELD_TRANSIENT,
		.check = certificate_check_cert,
	},
	{
		.name = "key",
		.type = FIELD_STRING,
		.flags = FIELD_TRANSIENT | FIELD_SECRET,
		.check = certificate_check_key,
	},
	{
		.name = "only_https",
		.type = FIELD_BOOLEAN,
		.flags = FIELD_REQUIRED,
		.fallback = "false",
	},
	{
		.name = "accept_http_if_already_terminated",
		.type = FIELD_BOOLEAN,
		.flags = FIELD_REQUIRED,
		.fallback = "false",
	},
};

/* A pair, or none: then only only_https has an effect. */
static void check_ssl(const json_t *config, struct violations *v)
{
	const json_t *cert = json_object_get(config, "cert");
	const json_t *key = json_object_get(config, "key");

	if (json_is_string(cert) && !json_is_string(key))
		violations_add(v, "config.key", "required field missing");
	else if (!json_is_string(cert) && json_is_string(key))
		violations_add(v, "config.cert", "required field missing");
	else if (json_is_string(cert))
		certificate_check_pair(
			(struct str){json_string_value(cert), json_string_length(cert)},
			(struct str){json_string_value(key), json_string_length(key)},
			"config.cert", "certificate does not match key", v);
}

/* --- client certificates (kong-acme-hybrid.md 5) --- */

/* Fields of a request that say where it ends or whose it is: a plugin must not set or read them. */
static const char *const reserved_headers[] = {
	"connection", "content-length", "host",	   "keep-alive", "proxy-connection",
	"te",	      "trailer",	"upgrade", "expect",	 "transfer-encoding",
};

static int check_header_name(const json_t *value, struct err *e)
{
	static const char marks[] = "!#$%&'*+-.^_`|~";
	struct str name = {json_string_value(value), json_string_length(value)};

	for (size_t i = 0; i < name.len; i++) {
		char c = ascii_lower(name.ptr[i]);

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c && strchr(marks, c))))
			return err_set(e, ERR_INVALID, "not a valid header field name");
	}
	for (size_t i = 0; i < array_len(reserved_headers); i++)
		if (str_ieq(name, str_from(reserved_headers[i])))
			return err_set(e, ERR_INVALID, "header field is not allowed here");
	return 0;
}

static const struct field authority_element = {
	.name = "ca_certificate", .type = FIELD_UUID, .flags = FIELD_REQUIRED};

static const char *const consumer_by_names[] = {"username", "custom_id", NULL};
static const struct field consumer_by_element = {
	.name = "consumer_by",
	.type = FIELD_STRING,
	.flags = FIELD_REQUIRED,
	.one_of = consumer_by_names,
};
static const char *const group_names[] = {"CN", "DN", NULL};
static const char *const revocation_names[] = {"SKIP", "IGNORE_CA_ERROR", "STRICT", NULL};

enum { MILLISECONDS_MAX = INT32_MAX };

#define SWITCH(of, value)                                                                          \
	{                                                                                          \
		.name = of, .type = FIELD_BOOLEAN, .flags = FIELD_REQUIRED, .fallback = value      \
	}
#define PORT(of)                                                                                   \
	{                                                                                          \
		.name = of, .type = FIELD_INTEGER, .min = 1, .max = 65535                          \
	}

/* What mtls-auth and header-cert-auth share. */
#define CERT_AUTH                                                                                  \
	{.name = "anonymous", .type = FIELD_STRING},                                               \
		{                                                                                  \
			.name = "consumer_by",                                                     \
			.type = FIELD_SET,                                                         \
			.fallback = "[\"custom_id\",\"username\"]",                                \
			.elements = &consumer_by_element,                                          \
		},                                                                                 \
		{                                                                                  \
			.name = "ca_certificates",                                                 \
			.type = FIELD_ARRAY,                                                       \
			.flags = FIELD_REQUIRED,                                                   \
			.elements = &authority_element,                                            \
			.len_min = 1,                                                              \
		},                                                                                 \
		{                                                                                  \
			.name = "cache_ttl",                                                       \
			.type = FIELD_NUMBER,                                                      \
			.flags = FIELD_REQUIRED,                                                   \
			.fallback = "60",                                                          \
			.max = MILLISECONDS_MAX,                                                   \
		},                                                                                 \
		SWITCH("skip_consumer_lookup", "false"), SWITCH("allow_partial_chain", "false"),   \
		{                                                                                  \
			.name = "authenticated_group_by",                                          \
			.type = FIELD_STRING,                                                      \
			.fallback = "\"CN\"",                                                      \
			.one_of = group_names,                                                     \
		},                                                                                 \
		{                                                                                  \
			.name = "revocation_check_mode",                                           \
			.type = FIELD_STRING,                                                      \
			.fallback = "\"IGNORE_CA_ERROR\"",                                         \
			.one_of = revocation_names,                                                \
		},                                                                                 \
		{                                                                                  \
			.name = "http_timeout",                                                    \
			.type = FIELD_NUMBER,                                                      \
			.fallback = "30000",                                                       \
			.min = 1,                                                                  \
			.max = MILLISECONDS_MAX,                                                   \
		},                                                                                 \
		{                                                                                  \
			.name = "cert_cache_ttl",                                                  \
			.type = FIELD_NUMBER,                                                      \
			.fallback = "60000",                                                       \
			.max = MILLISECONDS_MAX,                                                   \
		},                                                                                 \
		{.name = "http_proxy_host", .type = FIELD_STRING, .check = host_check},            \
		PORT("http_proxy_port"),                                                           \
		{.name = "https_proxy_host", .type = FIELD_STRING, .check = host_check},           \
		PORT("https_proxy_port"), {.name = "default_consumer", .type = FIELD_STRING},      \
		SWITCH("ssl_verify", "true")

static const struct field mtls_auth[] = {
	CERT_AUTH,
	SWITCH("send_ca_dn", "false"),
};

static const char *const header_formats[] = {"base64_encoded", "url_encoded", "rfc9440", NULL};

static const struct field header_cert_auth[] = {
	CERT_AUTH,
	{
		.name = "certificate_header_name",
		.type = FIELD_STRING,
		.flags = FIELD_REQUIRED,
		.check = check_header_name,
	},
	{
		.name = "certificate_header_format",
		.type = FIELD_STRING,
		.flags = FIELD_REQUIRED,
		.one_of = header_formats,
	},
	SWITCH("secure_source", "true"),
};

static void check_cert_auth(const json_t *config, struct violations *v)
{
	bool host = condition_is_set(config, "http_proxy_host");

	if (host != condition_is_set(config, "http_proxy_port"))
		violations_add(v, "config",
			       "all or none of these fields must be set: 'http_proxy_host', "
			       "'http_proxy_port'");
	/* Kong's; here responders by https are asked directly. */
	if (condition_is_set(config, "https_proxy_host"))
		violations_add(v, "config.https_proxy_host", "is not supported");
	if (condition_is_set(config, "https_proxy_port"))
		violations_add(v, "config.https_proxy_port", "is not supported");
}

static const char *const requests[] = {"REQUEST", NULL};

static const struct field tls_handshake_modifier[] = {
	{
		.name = "tls_client_certificate",
		.type = FIELD_STRING,
		.fallback = "\"REQUEST\"",
		.one_of = requests,
	},
};

#define HEADER_NAME(of, value)                                                                     \
	{                                                                                          \
		.name = of, .type = FIELD_STRING, .flags = FIELD_REQUIRED,                         \
		.fallback = "\"" value "\"", .check = check_header_name                            \
	}

static const struct field tls_metadata_headers[] = {
	SWITCH("inject_client_cert_details", "false"),
	HEADER_NAME("client_cert_header_name", "X-Client-Cert"),
	HEADER_NAME("client_serial_header_name", "X-Client-Cert-Serial"),
	HEADER_NAME("client_cert_issuer_dn_header_name", "X-Client-Cert-Issuer-DN"),
	HEADER_NAME("client_cert_subject_dn_header_name", "X-Client-Cert-Subject-DN"),
	HEADER_NAME("client_cert_fingerprint_header_name", "X-Client-Cert-Fingerprint"),
};

static const char *const size_units[] = {"megabytes", "kilobytes", "bytes", NULL};

static const struct field request_size_limiting[] = {
	{
		.name = "allowed_payload_size",
		.type = FIELD_INTEGER,
		.fallback = "128",
		.min = 1,
		.max = INT32_MAX,
	},
	{
		.name = "size_unit",
		.type = FIELD_STRING,
		.flags = FIELD_REQUIRED,
		.fallback = "\"megabytes\"",
		.one_of = size_units,
	},
	SWITCH("require_content_length", "false"),
};

static const struct plugin_schema schemas[] = {
	{"request-termination", "3.9.1", 2, CONFIG(request_termination), check_request_termination,
	 0},
	{"request-size-limiting", "3.9.1", 951, CONFIG(request_size_limiting), NULL, 0},
	{PLUGIN_ACME, "3.9.1", 1705, CONFIG(plugin_acme_config), plugin_acme_check,
	 PLUGIN_FOR_CONSUMER | PLUGIN_FOR_SERVICE | PLUGIN_FOR_ROUTE},
	{PLUGIN_SSL, "0.9.9", 3000, CONFIG(ssl), check_ssl, PLUGIN_FOR_CONSUMER},
	{"mtls-auth", "3.9.1", 1600, CONFIG(mtls_auth), check_cert_auth, PLUGIN_FOR_CONSUMER},
	{"header-cert-auth", "3.9.1", 1009, CONFIG(header_cert_auth), check_cert_auth,
	 PLUGIN_FOR_CONSUMER},
	{"tls-handshake-modifier", "3.9.1", 997, CONFIG(tls_handshake_modifier), NULL,
	 PLUGIN_FOR_CONSUMER},
	{"tls-metadata-headers", "3.9.1", 996, CONFIG(tls_metadata_headers), NULL,
	 PLUGIN_FOR_CONSUMER},
};

const struct plugin_schema *plugin_schema_at(size_t i)
{
	return i < array_len(schemas) ? &schemas[i] : NULL;
}

const struct plugin_schema *plugin_schema_find(struct str name)
{
	for (size_t i = 0; i < array_len(schemas); i++)
		if (str_eq(str_from(schemas[i].name), name))
			return &schemas[i];
	return NULL;
}
