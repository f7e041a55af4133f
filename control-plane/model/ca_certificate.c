/* ca_certificates: authorities that services' certificates are verified with (kong-admin-api.md
 * 2.3). cert_digest is computed, whatever was sent. */
#include <openssl/x509v3.h>

#include "common/pki/cert.h"
#include "control-plane/model/entity.h"

static struct str text_of(const json_t *value)
{
	return (struct str){json_string_value(value), json_string_length(value)};
}

static int check_cert(const json_t *value, struct err *e)
{
	X509 *cert = NULL;

	if (cert_leaf_from_pem(&cert, text_of(value), e) < 0)
		return -1;
	X509_free(cert);
	return 0;
}

static const struct field fields[] = {
	{
		.name = "cert",
		.type = FIELD_STRING,
		.flags = FIELD_REQUIRED,
		.check = check_cert,
	},
	{.name = "cert_digest", .type = FIELD_STRING, .flags = FIELD_UNIQUE},
};

/* SHA-256 of the DER; a certificate that does not parse is refused by its field's check. */
static void prepare(json_t *input, const json_t *old, struct violations *v)
{
	const json_t *pem = json_object_get(input, "cert");
	struct cert_info info;
	X509 *cert = NULL;

	(void)old;
	json_object_del(input, "cert_digest");
	if (!json_is_string(pem) || cert_leaf_from_pem(&cert, text_of(pem), NULL) < 0)
		return;
	cert_info(cert, &info);
	X509_free(cert);
	if (json_object_set_new(input, "cert_digest", json_string(info.fingerprint)) < 0)
		v->no_memory = true;
}

static size_t count_blocks(const char *pem)
{
	size_t n = 0;

	for (const char *at = pem; (at = strstr(at, "-----BEGIN ")); at++)
		n++;
	return n;
}

static void check(const json_t *entity, struct violations *v)
{
	struct str pem = text_of(json_object_get(entity, "cert"));
	X509 *cert = NULL;
	struct err e = ERR_INIT;

	if (count_blocks(pem.ptr) > 1) {
		violations_add_entity(v, "please submit only one certificate at a time");
		return;
	}
	if (cert_leaf_from_pem(&cert, pem, &e) < 0) {
		violations_add(v, "cert", "%s", e.message);
		return;
	}
	if (X509_cmp_current_time(X509_get0_notAfter(cert)) < 0)
		violations_add_entity(v, "certificate expired, \"Not After\" time is in the past");
	if (!(X509_get_extension_flags(cert) & EXFLAG_CA))
		violations_add_entity(v, "certificate does not appear to be a CA because it is "
					 "missing the \"CA\" basic constraint");
	X509_free(cert);
}

const struct entity entity_ca_certificates = {
	.name = "ca_certificates",
	.singular = "ca_certificate",
	.fields = fields,
	.field_count = array_len(fields),
	.prepare = prepare,
	.check = check,
	.has_tags = true,
	.pushed = true,
};
