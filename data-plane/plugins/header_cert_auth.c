/* header-cert-auth (kong-acme-hybrid.md 5.2): a proxy in front tells which certificate the client
 * showed it. Nothing proves that the client has its key but the word of that proxy. */
#include <openssl/x509.h>

#include "data-plane/plugins/cert_auth.h"
#include "data-plane/plugins/cert_header.h"
#include "data-plane/plugins/plugins.h"
#include "data-plane/tables/fields.h"

struct header_config {
	struct cert_auth auth;
	struct str name;
	enum cert_header_format format;
	bool secure_source;
};

static int configure(void *config, const struct fields *f, struct arena *a, struct err *e)
{
	struct header_config *c = config;
	struct str name = fields_text(f, "certificate_header_name");
	struct str format = fields_text(f, "certificate_header_format");

	if (!name.len)
		return err_set(e, ERR_INVALID, "certificate_header_name: there is none");
	if (cert_header_format_parse(format, &c->format) < 0)
		return err_set(e, ERR_INVALID, "certificate_header_format: \"%.*s\" is not known",
			       format.len > 32 ? 32 : (int)format.len,
			       format.ptr ? format.ptr : "");
	c->name = arena_str(a, name);
	if (!c->name.ptr)
		return err_memory(e, "a plugin");
	c->secure_source = fields_flag(f, "secure_source", true);
	if (cert_auth_configure(&c->auth, f, a, e) < 0)
		return -1;
	c->auth.credentials = ENTITIES_HEADER_CREDENTIAL;
	return 0;
}

static struct plugin_authorities authorities(const void *config)
{
	const struct header_config *c = config;

	return (struct plugin_authorities){c->auth.authorities, c->auth.authority_count, false};
}

static enum plugin_verdict access_header(struct request *r, const void *config)
{
	const struct header_config *c = config;
	STACK_OF(X509) *sent = NULL;
	enum plugin_verdict verdict;
	X509 *leaf = NULL;
	struct err e = ERR_INIT;

	if (c->secure_source && !request_client(r)->trusted) {
		/* What a stranger says of itself goes nowhere (TR-04). */
		request_remove_field(r, c->name);
		if (c->format == CERT_HEADER_RFC9440)
			request_remove_field(r, STR("client-cert-chain"));
	} else if (cert_header_read(&request_head(r)->fields, c->name, c->format, &leaf, &sent,
				    &e) < 0) {
		return cert_auth_run(r, &c->auth, "header-cert-auth", NULL, NULL, &e);
	}
	verdict = cert_auth_run(r, &c->auth, "header-cert-auth", leaf, sent, NULL);
	X509_free(leaf);
	sk_X509_pop_free(sent, X509_free);
	return verdict;
}

const struct plugin_type plugin_header_cert_auth = {
	.kind = {.name = "header-cert-auth",
		 .config_size = sizeof(struct header_config),
		 .configure = configure,
		 .authorities = authorities},
	.priority = 1009,
	.own_fields = cert_auth_fields,
	.access = access_header,
};
