/* The ssl plugin of Kong 0.3 to 0.9 (kong-acme-hybrid.md 4.3): plain HTTP is refused. The pair that
 * it also had is a certificate of the control plane's. */
#include "data-plane/plugins/plugins.h"
#include "data-plane/tables/fields.h"

struct ssl_config {
	bool only_https;
	bool accept_terminated;
};

static int configure(void *config, const struct fields *f, struct arena *a, struct err *e)
{
	struct ssl_config *c = config;

	(void)a;
	(void)e;
	c->only_https = fields_flag(f, "only_https", false);
	c->accept_terminated = fields_flag(f, "accept_http_if_already_terminated", false);
	return 0;
}

/* Somebody whom the operator trusts took the TLS off, and says so once. */
static bool was_terminated(const struct request *r)
{
	const struct http_fields *f = &request_head(r)->fields;

	return request_client(r)->trusted && http_fields_count(f, STR("x-forwarded-proto")) == 1 &&
	       str_ieq(http_fields_get(f, STR("x-forwarded-proto")), STR("https"));
}

static enum plugin_verdict access_ssl(struct request *r, const void *config)
{
	const struct ssl_config *c = config;
	struct http_field upgrade = {STR("upgrade"), STR("TLS/1.0, HTTP/1.1")};
	const struct http_fields fields = {&upgrade, 1, 1};

	if (!c->only_https || request_client(r)->tls || (c->accept_terminated && was_terminated(r)))
		return PLUGIN_NEXT;
	request_answer(r, 426, STR("application/json; charset=utf-8"),
		       STR("{\"message\":\"Please use HTTPS protocol\"}"), &fields);
	return PLUGIN_ANSWERED;
}

const struct plugin_type plugin_ssl = {
	.kind = {.name = "ssl", .config_size = sizeof(struct ssl_config), .configure = configure},
	.priority = 3000,
	.access = access_ssl,
};
