#include "data-plane/tls/validation.h"

#include <arpa/inet.h>
#include <openssl/sha.h>
#include <stdio.h>

#include "common/core/clock.h"
#include "common/pki/cert.h"
#include "common/pki/key.h"
#include "data-plane/tls/select.h"

enum { NAME_SIZE = 254, DAY_S = 86400 };
enum { IPV4_LABELS = 4, IPV6_NIBBLES = 32 };

/* A list with this one name (RFC 7301 section 3.1): RFC 8737 section 4 allows no other beside it.
 */
static bool offers_only_acme(SSL *ssl)
{
	static const unsigned char list[] = "\x00\x0b\x0a" VALIDATION_PROTOCOL;
	const unsigned char *ext;
	size_t len;

	return SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation,
					 &ext, &len) == 1 &&
	       len == sizeof(list) - 1 && memcmp(ext, list, len) == 0;
}

static bool server_name(SSL *ssl, char out[NAME_SIZE], struct str *name)
{
	const unsigned char *ext;
	size_t len;
	struct str raw = STR_NONE;

	if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &ext, &len) != 1 ||
	    select_server_name((struct str){(const char *)ext, len}, &raw) != SELECT_FOUND ||
	    raw.len >= NAME_SIZE)
		return false;
	for (size_t i = 0; i < raw.len; i++)
		out[i] = ascii_lower(raw.ptr[i]);
	*name = (struct str){out, raw.len};
	return true;
}

const struct challenge *validation_challenge(SSL *ssl, const struct tables *t)
{
	char text[NAME_SIZE];
	struct str name;

	if (atomic_load_explicit(&t->challenges.live.count, memory_order_relaxed) == 0 ||
	    !offers_only_acme(ssl) || !server_name(ssl, text, &name))
		return NULL;
	return challenges_find(&t->challenges, tables_enter(t), name, STR(VALIDATION_TOKEN));
}

/* --- the name --- */

static bool ipv4_of(struct str labels, unsigned char out[4])
{
	struct str rest = labels, label = STR_NONE;
	size_t n = IPV4_LABELS;

	while (str_split(&rest, '.', &label)) {
		uint64_t value;

		if (n == 0 || str_u64(label, &value) != 0 || value > UINT8_MAX)
			return false;
		out[--n] = (unsigned char)value;
	}
	return n == 0;
}

static bool ipv6_of(struct str labels, unsigned char out[16])
{
	static const char digits[] = "0123456789abcdef";
	struct str rest = labels, label = STR_NONE;
	size_t n = IPV6_NIBBLES;

	memset(out, 0, 16);
	while (str_split(&rest, '.', &label)) {
		const char *digit = label.len == 1 ? strchr(digits, label.ptr[0]) : NULL;

		if (n == 0 || !digit || !*digit)
			return false;
		n--;
		out[n / 2] = (unsigned char)(out[n / 2] | (digit - digits) << (n % 2 ? 0 : 4));
	}
	return n == 0;
}

/* What the certificate is for: the name, or the address that it stands for. */
static void subject_of(struct str name, char out[NAME_SIZE])
{
	static const struct str v4 = STR(".in-addr.arpa"), v6 = STR(".ip6.arpa");
	unsigned char b[16];

	if (str_ends(name, v4) && ipv4_of(str_sub(name, 0, name.len - v4.len), b))
		inet_ntop(AF_INET, b, out, NAME_SIZE);
	else if (str_ends(name, v6) && ipv6_of(str_sub(name, 0, name.len - v6.len), b))
		inet_ntop(AF_INET6, b, out, NAME_SIZE);
	else
		snprintf(out, NAME_SIZE, "%.*s", (int)name.len, name.ptr);
}

int validation_certificate(X509 **cert, EVP_PKEY **key, struct str name,
			   struct str key_authorization, struct err *e)
{
	unsigned char digest[SHA256_DIGEST_LENGTH];
	char subject[NAME_SIZE];
	const char *const names[] = {subject, NULL};
	int64_t now = clock_wall_s();
	const struct cert_make m = {
		.names = names,
		.server = true,
		.not_before = now - DAY_S,
		.not_after = now + DAY_S,
		.acme_identifier = digest,
	};

	if (name.len == 0 || name.len >= NAME_SIZE)
		return err_set(e, ERR_INVALID, "a validation request without a name");
	subject_of(name, subject);
	SHA256((const unsigned char *)key_authorization.ptr, key_authorization.len, digest);
	if (key_generate(key, KEY_EC_P256, e) != 0)
		return -1;
	if (cert_make(cert, &m, *key, NULL, NULL, e) == 0)
		return 0;
	EVP_PKEY_free(*key);
	*key = NULL;
	return -1;
}

int validation_use(SSL *ssl, const struct challenge *c, struct err *e)
{
	char text[NAME_SIZE];
	struct str name;
	X509 *cert = NULL;
	EVP_PKEY *key = NULL;
	int rc = -1;

	if (!server_name(ssl, text, &name))
		return err_set(e, ERR_INVALID, "a validation request without a name");
	if (validation_certificate(&cert, &key, name, (struct str){c->key_authorization, c->len},
				   e) != 0)
		return -1;
	SSL_certs_clear(ssl);
	SSL_set_options(ssl, SSL_OP_NO_TICKET);
	if (SSL_set_num_tickets(ssl, 0) == 1 && SSL_use_cert_and_key(ssl, cert, key, NULL, 1) == 1)
		rc = 0;
	else
		err_openssl(e, ERR_INTERNAL, "validation certificate");
	X509_free(cert);
	EVP_PKEY_free(key);
	return rc;
}
