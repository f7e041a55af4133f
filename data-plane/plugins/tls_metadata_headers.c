/* tls-metadata-headers (kong-acme-hybrid.md 5.3): the upstream is told of the client's certificate.
 * Another plugin has to ask for it. */
#include <openssl/x509.h>

#include "data-plane/plugins/client_cert.h"
#include "data-plane/plugins/plugins.h"
#include "data-plane/tables/fields.h"

enum metadata { META_CERT, META_SERIAL, META_ISSUER, META_SUBJECT, META_FINGERPRINT, META_COUNT };

static const struct {
	const char *option;
	struct str fallback;
} metadata[META_COUNT] = {
	[META_CERT] = {"client_cert_header_name", {"x-client-cert", 13}},
	[META_SERIAL] = {"client_serial_header_name", {"x-client-cert-serial", 20}},
	[META_ISSUER] = {"client_cert_issuer_dn_header_name", {"x-client-cert-issuer-dn", 23}},
	[META_SUBJECT] = {"client_cert_subject_dn_header_name", {"x-client-cert-subject-dn", 24}},
	[META_FINGERPRINT] = {"client_cert_fingerprint_header_name",
			      {"x-client-cert-fingerprint", 25}},
};

static const char *const own_fields[] = {
	"x-client-cert",
	"x-client-cert-serial",
	"x-client-cert-issuer-dn",
	"x-client-cert-subject-dn",
	"x-client-cert-fingerprint",
	NULL,
};

struct metadata_config {
	bool inject;
	struct str names[META_COUNT];
};

static int configure(void *config, const struct fields *f, struct arena *a, struct err *e)
{
	struct metadata_config *c = config;

	c->inject = fields_flag(f, "inject_client_cert_details", false);
	for (size_t i = 0; i < META_COUNT; i++) {
		struct str name = fields_text(f, metadata[i].option);

		c->names[i] = arena_str(a, name.len ? name : metadata[i].fallback);
		if (!c->names[i].ptr)
			return err_memory(e, "a plugin");
		for (size_t k = 0; k < c->names[i].len; k++)
			((char *)(uintptr_t)c->names[i].ptr)[k] = ascii_lower(c->names[i].ptr[k]);
	}
	return 0;
}

static struct str value_of(enum metadata m, X509 *cert, struct arena *a)
{
	switch (m) {
	case META_CERT:
		return client_cert_escaped_pem(cert, a);
	case META_SERIAL:
		return client_cert_serial(cert, a);
	case META_ISSUER:
		return client_cert_dn(X509_get_issuer_name(cert), a);
	case META_SUBJECT:
		return client_cert_dn(X509_get_subject_name(cert), a);
	case META_FINGERPRINT:
		return client_cert_fingerprint(cert, a);
	case META_COUNT:
		break;
	}
	return STR_NONE;
}

static enum plugin_verdict access_metadata(struct request *r, const void *config)
{
	const struct metadata_config *c = config;
	X509 *cert = c->inject ? request_certificate(r) : NULL;

	for (size_t i = 0; i < META_COUNT; i++) {
		struct str value;

		/* Also under names of the operator's: not the client's word for it (TR-04). */
		request_remove_field(r, c->names[i]);
		if (!cert)
			continue;
		value = value_of((enum metadata)i, cert, request_arena(r));
		if (!value.ptr || request_set_field(r, c->names[i], value) < 0) {
			request_answer_message(r, 500, STR("An unexpected error occurred"));
			return PLUGIN_ANSWERED;
		}
	}
	return PLUGIN_NEXT;
}

const struct plugin_type plugin_tls_metadata_headers = {
	.kind = {.name = "tls-metadata-headers",
		 .config_size = sizeof(struct metadata_config),
		 .configure = configure},
	.priority = 996,
	.own_fields = own_fields,
	.access = access_metadata,
};
