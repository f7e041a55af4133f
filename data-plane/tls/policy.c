#include "data-plane/tls/policy.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

static bool any_rule(const struct tables *t)
{
	return atomic_load_explicit(&t->handshakes.names.count, memory_order_relaxed) > 0 ||
	       atomic_load_explicit(&t->certs.minimums.count, memory_order_relaxed) > 0;
}

void tls_policy_of(const struct tables *t, uint64_t generation, struct str name,
		   struct tls_policy *out)
{
	struct str found = STR("");

	*out = (struct tls_policy){.cert = NULL};
	if (certs_normalise(name, out->name, &out->name_len)) {
		found = (struct str){out->name, out->name_len};
		out->cert = certs_find_minimum(&t->certs, generation, found, &out->min_version);
	} else {
		out->name[0] = '\0';
		out->name_len = 0;
	}
	out->rule = handshakes_find(&t->handshakes, generation, found);
	if (out->rule)
		memcpy(out->digest, out->rule->digest, sizeof(out->digest));
	out->digest[1] ^= (unsigned char)out->min_version;
	out->digest[2] ^= (unsigned char)(out->min_version >> 8);
}

/* The version is no part of the digest: a request's host that is an address is looked up as no
 * name. */
void tls_policy_of_address(const struct tables *t, uint64_t generation, const struct addr *a,
			   struct tls_policy *out)
{
	char text[ADDR_TEXT_SIZE];

	tls_policy_of(t, generation, STR(""), out);
	out->cert = certs_find_address(&t->certs, generation, a, text, &out->min_version);
	if (out->cert)
		out->name_len = (size_t)snprintf(out->name, sizeof(out->name), "%s", text);
}

/* digest of the rules (8) | digest of the name (24) */
static int set_session_context(SSL *ssl, const struct tls_policy *p)
{
	unsigned char context[HANDSHAKE_DIGEST_SIZE + SHA256_DIGEST_LENGTH];

	static_assert(SSL_MAX_SID_CTX_LENGTH == 32, "most of the name's digest fits");
	memcpy(context, p->digest, HANDSHAKE_DIGEST_SIZE);
	SHA256((const unsigned char *)p->name, p->name_len, context + HANDSHAKE_DIGEST_SIZE);
	return SSL_set_session_id_context(ssl, context, SSL_MAX_SID_CTX_LENGTH);
}

/* A ticket keeps the client's certificate but not its chain, so that whoever has to show one makes
 * a full handshake each time. */
static bool ask(SSL *ssl, const struct handshake_rule *rule)
{
	STACK_OF(X509_NAME) *names = NULL;

	if (rule->authorities) {
		names = SSL_dup_CA_list(rule->authorities);
		if (!names)
			return false;
	}
	SSL_set0_CA_list(ssl, names);
	SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
	SSL_set_options(ssl, SSL_OP_NO_TICKET);
	return SSL_set_num_tickets(ssl, 0) == 1;
}

int tls_policy_apply(SSL *ssl, const struct tls_policy *p, struct err *e)
{
	if (set_session_context(ssl, p) == 1 &&
	    (p->min_version <= SSL_get_min_proto_version(ssl) ||
	     SSL_set_min_proto_version(ssl, p->min_version) == 1) &&
	    (!p->rule || ask(ssl, p->rule)))
		return 0;
	return err_openssl(e, ERR_MEMORY, "rules of a handshake");
}

bool tls_policy_allows(const struct tables *t, uint64_t generation, const SSL *ssl, struct str host)
{
	static const unsigned char none[HANDSHAKE_DIGEST_SIZE];
	const SSL_SESSION *session = ssl ? SSL_get_session(ssl) : NULL;
	const unsigned char *made_under;
	struct tls_policy p;
	unsigned len = 0;

	if (!ssl)
		return true;
	made_under = session ? SSL_SESSION_get0_id_context(session, &len) : NULL;
	if (len < HANDSHAKE_DIGEST_SIZE)
		return false;
	if (!any_rule(t))
		return memcmp(made_under, none, sizeof(none)) == 0;
	tls_policy_of(t, generation, host, &p);
	return memcmp(made_under, p.digest, sizeof(p.digest)) == 0;
}
