#include "control-plane/cli/columns.h"

#include "common/core/clock.h"
#include "common/pki/cert.h"

enum { ITEMS_SHOWN = 3 };

/* --- how values are shown --- */

static int show_text(struct buf *out, const json_t *value, struct err *e)
{
	char *text;
	int rc;

	if (json_is_string(value))
		return buf_add(out, json_string_value(value), json_string_length(value), e);
	text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	rc = text ? buf_add_str(out, str_from(text), e) : err_memory(e, "a table");
	free(text);
	return rc;
}

static int show_yes(struct buf *out, const json_t *value, struct err *e)
{
	return buf_add_str(out, json_is_true(value) ? STR("yes") : STR("no"), e);
}

/* The first few, and how many more. */
static int show_list(struct buf *out, const json_t *value, struct err *e)
{
	size_t n = json_array_size(value);
	int rc = n == 0 ? buf_add_str(out, STR("-"), e) : 0;

	for (size_t i = 0; i < n && i < ITEMS_SHOWN && rc == 0; i++) {
		rc = buf_add_str(out, i ? STR(",") : STR(""), e);
		if (rc == 0)
			rc = show_text(out, json_array_get(value, i), e);
	}
	if (rc == 0 && n > ITEMS_SHOWN)
		rc = buf_addf(out, e, ",+%zu", n - ITEMS_SHOWN);
	return rc;
}

static int show_time(struct buf *out, const json_t *value, struct err *e)
{
	char text[CLOCK_TEXT_SIZE];

	clock_text((int64_t)json_number_value(value), text, sizeof(text));
	return buf_add_str(out, str_from(text), e);
}

static struct str pem_of(const json_t *value)
{
	return (struct str){json_string_value(value), json_string_length(value)};
}

static int show_expiry(struct buf *out, const json_t *value, struct err *e)
{
	char text[CLOCK_TEXT_SIZE];
	struct cert_info info;
	X509 *leaf = NULL;

	if (cert_leaf_from_pem(&leaf, pem_of(value), NULL) < 0)
		return buf_add_str(out, STR("?"), e);
	cert_info(leaf, &info);
	X509_free(leaf);
	clock_text(info.not_after, text, sizeof(text));
	return buf_add_str(out, str_from(text), e);
}

static int show_algorithm(struct buf *out, const json_t *value, struct err *e)
{
	X509 *leaf = NULL;
	int rc;

	if (cert_leaf_from_pem(&leaf, pem_of(value), NULL) < 0)
		return buf_add_str(out, STR("?"), e);
	rc = buf_add_str(out, str_from(cert_key_algorithm(leaf)), e);
	X509_free(leaf);
	return rc;
}

/* The one place where a subject is made into text for people only. */
static int show_subject(struct buf *out, const json_t *value, struct err *e)
{
	char text[128];
	X509 *cert = NULL;

	if (cert_leaf_from_pem(&cert, pem_of(value), NULL) < 0)
		return buf_add_str(out, STR("?"), e);
	text[0] = '\0';
	X509_NAME_oneline(X509_get_subject_name(cert), text, sizeof(text));
	X509_free(cert);
	return buf_add_str(out, str_from(text), e);
}

/* --- what is shown --- */

static const struct column any[] = {
	{"NAME", "name", show_text},
	{"ID", "id", show_text},
	{"TAGS", "tags", show_list},
};
static const struct column certificates[] = {
	{"ID", "id", show_text},	 {"SNIS", "snis", show_list},
	{"KEY", "cert", show_algorithm}, {"EXPIRES", "cert", show_expiry},
	{"TAGS", "tags", show_list},
};
static const struct column snis[] = {
	{"NAME", "name", show_text},
	{"CERTIFICATE", "certificate.id", show_text},
	{"TAGS", "tags", show_list},
};
static const struct column ca_certificates[] = {
	{"ID", "id", show_text},
	{"SUBJECT", "cert", show_subject},
	{"EXPIRES", "cert", show_expiry},
	{"TAGS", "tags", show_list},
};
static const struct column services[] = {
	{"NAME", "name", show_text},	     {"ID", "id", show_text},
	{"PROTOCOL", "protocol", show_text}, {"HOST", "host", show_text},
	{"PORT", "port", show_text},	     {"PATH", "path", show_text},
	{"ENABLED", "enabled", show_yes},    {"TAGS", "tags", show_list},
};
static const struct column routes[] = {
	{"NAME", "name", show_text},	       {"ID", "id", show_text},
	{"PROTOCOLS", "protocols", show_list}, {"METHODS", "methods", show_list},
	{"HOSTS", "hosts", show_list},	       {"PATHS", "paths", show_list},
	{"SERVICE", "service.id", show_text},  {"TAGS", "tags", show_list},
};
static const struct column upstreams[] = {
	{"NAME", "name", show_text},	       {"ID", "id", show_text},
	{"ALGORITHM", "algorithm", show_text}, {"HASH_ON", "hash_on", show_text},
	{"SLOTS", "slots", show_text},	       {"TAGS", "tags", show_list},
};
static const struct column targets[] = {
	{"TARGET", "target", show_text},      {"ID", "id", show_text},
	{"WEIGHT", "weight", show_text},      {"UPSTREAM", "upstream.id", show_text},
	{"CREATED", "created_at", show_time}, {"TAGS", "tags", show_list},
};
static const struct column consumers[] = {
	{"USERNAME", "username", show_text},
	{"CUSTOM_ID", "custom_id", show_text},
	{"ID", "id", show_text},
	{"TAGS", "tags", show_list},
};
static const struct column acme_authorities[] = {
	{"NAME", "name", show_text},
	{"DIRECTORY", "directory", show_text},
	{"PREFERENCE", "preference", show_text},
	{"TAGS", "tags", show_list},
};
/* Of header-cert-auth too. */
static const struct column mtls_auth_credentials[] = {
	{"SUBJECT_NAME", "subject_name", show_text},
	{"CONSUMER", "consumer.id", show_text},
	{"CA_CERTIFICATE", "ca_certificate.id", show_text},
	{"ID", "id", show_text},
	{"TAGS", "tags", show_list},
};
static const struct column plugins[] = {
	{"NAME", "name", show_text},	  {"INSTANCE", "instance_name", show_text},
	{"ID", "id", show_text},	  {"SERVICE", "service.id", show_text},
	{"ROUTE", "route.id", show_text}, {"CONSUMER", "consumer.id", show_text},
	{"ENABLED", "enabled", show_yes}, {"TAGS", "tags", show_list},
};
static const struct column orders[] = {
	{"HOST", "host", show_text},
	{"STATE", "state", show_text},
	{"ATTEMPTS", "attempts", show_text},
	{"NEXT", "next_attempt", show_time},
	{"EXPIRES", "not_after", show_time},
	{"RENEWAL", "renew_at", show_time},
	{"PROBLEM", "last_problem.detail", show_text},
	{"ID", "id", show_text},
};
static const struct column hosts[] = {
	{"HOST", "host", show_text},	    {"STATE", "state", show_text},
	{"ISSUER", "issuer", show_text},    {"EXPIRES", "not_after", show_time},
	{"RENEWAL", "renew_at", show_time}, {"NEXT", "next_attempt", show_time},
	{"TAGS", "tags", show_list},	    {"PROBLEM", "last_problem.detail", show_text},
	{"ORDER", "order.id", show_text},
};
static const struct column events[] = {
	{"AT", "at", show_time},       {"EVENT", "event", show_text},	{"BY", "by", show_text},
	{"NODES", "nodes", show_list}, {"DETAIL", "detail", show_text},
};
static const struct column revocations[] = {
	{"CERTIFICATE", "certificate.id", show_text},
	{"REASON", "reason", show_text},
	{"REVOKED", "revoked", show_text},
	{"ALREADY", "already", show_text},
	{"REPLACEMENT", "replacement.id", show_text},
};
static const struct column replacements[] = {
	{"ID", "id", show_text},	   {"ORDERS", "orders", show_text},
	{"REPLACED", "valid", show_text},  {"WAITING", "waiting", show_text},
	{"STOPPED", "stopped", show_text}, {"IN_TROUBLE", "in_trouble", show_text},
};
static const struct column takeovers[] = {
	{"KIND", "kind", show_text},	  {"HOST", "host", show_text},
	{"EMAIL", "email", show_text},	  {"RESULT", "result", show_text},
	{"ENDS", "not_after", show_time}, {"REASON", "reason", show_text},
	{"KEY", "key", show_text},
};
static const struct column nodes[] = {
	{"ID", "id", show_text},
	{"HOSTNAME", "hostname", show_text},
	{"IP", "ip", show_text},
	{"VERSION", "version", show_text},
	{"CONNECTED", "connected", show_yes},
	{"REVISION", "revision", show_text},
	{"LAST_SEEN", "last_seen", show_time},
	{"REFUSED", "nack", show_text},
};
static const struct column tokens[] = {
	{"NAME", "name", show_text},	      {"ROLE", "role", show_text},
	{"READ_KEYS", "read_keys", show_yes}, {"EXPIRES", "expires_at", show_time},
	{"USED", "last_used_at", show_time},  {"ID", "id", show_text},
	{"TOKEN", "token", show_text},
};
/* Made by `cardea issue` and `cardea status`. */
static const struct column results[] = {
	{"HOST", "host", show_text},
	{"RESULT", "result", show_text},
	{"EXPIRES", "order.not_after", show_time},
	{"MESSAGE", "message", show_text},
};
static const struct column facts[] = {
	{"WHAT", "what", show_text},
	{"VALUE", "value", show_text},
};

#define KIND(name)                                                                                 \
	{                                                                                          \
#name, name, array_len(name)                                                       \
	}
static const struct columns kinds[] = {
	KIND(any),
	KIND(certificates),
	KIND(snis),
	KIND(ca_certificates),
	KIND(services),
	KIND(routes),
	KIND(upstreams),
	KIND(targets),
	KIND(consumers),
	KIND(mtls_auth_credentials),
	{"header_cert_auth_credentials", mtls_auth_credentials, array_len(mtls_auth_credentials)},
	KIND(acme_authorities),
	KIND(hosts),
	KIND(events),
	KIND(revocations),
	KIND(replacements),
	KIND(takeovers),
	KIND(plugins),
	KIND(orders),
	KIND(nodes),
	KIND(tokens),
	KIND(results),
	KIND(facts),
};

const struct columns *columns_at(size_t i)
{
	return i < array_len(kinds) ? &kinds[i] : NULL;
}

const struct columns *columns_of(const char *kind)
{
	for (size_t i = 1; i < array_len(kinds); i++)
		if (strcmp(kinds[i].kind, kind) == 0)
			return &kinds[i];
	return &kinds[0];
}

const json_t *columns_member(const json_t *row, const char *path)
{
	struct str rest = str_from(path), part;

	while (row && str_split(&rest, '.', &part))
		row = json_object_getn(row, part.ptr, part.len);
	return json_is_null(row) ? NULL : row;
}
