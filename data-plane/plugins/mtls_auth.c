/* mtls-auth (kong-acme-hybrid.md 5.1): the client's certificate of the handshake tells who it is.
 */
#include "data-plane/plugins/cert_auth.h"
#include "data-plane/plugins/plugins.h"
#include "data-plane/tables/fields.h"

struct mtls_config {
	struct cert_auth auth;
	bool send_ca_dn;
};

static int configure(void *config, const struct fields *f, struct arena *a, struct err *e)
{
	struct mtls_config *c = config;

	c->send_ca_dn = fields_flag(f, "send_ca_dn", false);
	if (cert_auth_configure(&c->auth, f, a, e) < 0)
		return -1;
	c->auth.credentials = ENTITIES_MTLS_CREDENTIAL;
	return 0;
}

static bool asks(const void *config)
{
	(void)config;
	return true;
}

static struct plugin_authorities authorities(const void *config)
{
	const struct mtls_config *c = config;

	return (struct plugin_authorities){c->auth.authorities, c->auth.authority_count,
					   c->send_ca_dn};
}

static enum plugin_verdict access_mtls(struct request *r, const void *config)
{
	const struct mtls_config *c = config;

	return cert_auth_run(r, &c->auth, "mtls-auth", request_certificate(r), request_chain(r),
			     NULL);
}

const struct plugin_type plugin_mtls_auth = {
	.kind = {.name = "mtls-auth",
		 .config_size = sizeof(struct mtls_config),
		 .configure = configure,
		 .asks_certificate = asks,
		 .authorities = authorities},
	.priority = 1600,
	.own_fields = cert_auth_fields,
	.access = access_mtls,
};
