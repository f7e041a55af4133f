/* What mtls-auth and header-cert-auth share (kong-acme-hybrid.md 5.1, 5.2): the certificate is
 * verified, asked about and mapped to a consumer; the upstream is told who it is.
 *
 *     certificate? ─▶ chain ─▶ revoked? ─▶ names ─▶ mapping ─▶ consumer ─▶ default_consumer ─▶ 401
 *          └─ no ───────┴──────────┴──────────────────────────────────────────────┴─▶ anonymous, or
 * 401
 *
 * Thread: the worker; configuring: sync. */
#ifndef CARDEA_PLUGINS_CERT_AUTH_H
#define CARDEA_PLUGINS_CERT_AUTH_H

#include "data-plane/plugins/revocation.h"
#include "data-plane/proxy/plugin_type.h"

struct fields;

enum revocation_mode {
	REVOCATION_SKIP,
	REVOCATION_IGNORE_CA_ERROR, /* who cannot be asked has nothing against it */
	REVOCATION_STRICT,	    /* must be known not to be revoked */
};

struct cert_auth {
	const unsigned char *authorities; /* ids, one behind the other */
	size_t authority_count;
	struct str anonymous, default_consumer; /* id or username; STR_NONE: none */
	bool skip_consumer_lookup, allow_partial_chain, by_username, by_custom_id;
	enum entities_kind
		credentials; /* the plugin's mappings by hand; not read from the fields */
	enum revocation_mode mode;
	struct revocation_how how;
};

/* ERR_INVALID: no authority (TLS-10), or a value that is not known. */
int cert_auth_configure(struct cert_auth *out, const struct fields *f, struct arena *a,
			struct err *e) must_check;

/* Fields that they set; for plugin_type.own_fields. */
extern const char *const cert_auth_fields[];

/* leaf NULL: none was sent; why (may be NULL): the one that was sent is refused for this reason.
 * Both are borrowed; the plugin's name is for the log. */
enum plugin_verdict cert_auth_run(struct request *r, const struct cert_auth *c, const char *plugin,
				  X509 *leaf, STACK_OF(X509) * sent, const struct err *why);

#endif
