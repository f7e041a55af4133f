#include "data-plane/tls/select.h"

#include <openssl/sha.h>
#include <string.h>

#include "common/core/log.h"

enum { HOST_NAME = 0 };

static bool take_u16(struct str *s, size_t *out)
{
	if (s->len < 2)
		return false;
	*out = (size_t)((unsigned char)s->ptr[0] << 8 | (unsigned char)s->ptr[1]);
	*s = str_sub(*s, 2, s->len);
	return true;
}

enum select_result select_server_name(struct str extension, struct str *name)
{
	size_t list, len;

	if (!take_u16(&extension, &list) || list != extension.len || extension.len < 1 ||
	    extension.ptr[0] != HOST_NAME)
		return SELECT_MALFORMED;
	extension = str_sub(extension, 1, extension.len);
	/* One name only: a list of several was never defined. */
	if (!take_u16(&extension, &len) || len == 0 || len != extension.len)
		return SELECT_MALFORMED;
	*name = extension;
	return SELECT_FOUND;
}

static enum select_result refuse(enum select_result r, int *alert)
{
	static const int alerts[SELECT_RESULTS] = {
		[SELECT_UNKNOWN] = SSL_AD_UNRECOGNIZED_NAME,
		[SELECT_MALFORMED] = SSL_AD_DECODE_ERROR,
		[SELECT_FAILED] = SSL_AD_INTERNAL_ERROR,
	};

	*alert = alerts[r];
	return r;
}

/* A ticket is good for the name it was made for. */
static int set_session_context(SSL *ssl, struct str name)
{
	unsigned char digest[SHA256_DIGEST_LENGTH];

	SHA256((const unsigned char *)name.ptr, name.len, digest);
	return SSL_set_session_id_context(ssl, digest, sizeof(digest));
}

static int put(SSL *ssl, const struct parsed_cert *p)
{
	SSL_certs_clear(ssl); /* of the default certificate */
	for (size_t i = 0; i < p->count; i++)
		if (SSL_use_cert_and_key(ssl, p->parts[i].leaf, p->parts[i].key, p->parts[i].chain,
					 1) != 1)
			return -1;
	return 0;
}

static enum select_result use(SSL *ssl, const struct cert *cert, struct parsed_cache *parsed,
			      struct str name, int *alert)
{
	struct err e = ERR_INIT;
	const struct parsed_cert *p;

	if (parsed_cache_get(parsed, cert, &p, &e) == 0 &&
	    (put(ssl, p) == 0 || err_openssl(&e, ERR_INTERNAL, "certificate is not usable") == 0))
		return SELECT_FOUND;
	log_error("certificate cannot be served", log_err(&e),
		  log_strn("name", name.ptr, name.len));
	return refuse(SELECT_FAILED, alert);
}

enum select_result select_certificate(SSL *ssl, const struct tables *t, struct parsed_cache *parsed,
				      bool has_default, int *alert)
{
	const unsigned char *ext;
	size_t len;
	char buffer[CERTS_NAME_MAX + 1];
	struct str name = STR("");
	const struct cert *cert = NULL;

	if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &ext, &len) == 1) {
		if (select_server_name((struct str){(const char *)ext, len}, &name) != SELECT_FOUND)
			return refuse(SELECT_MALFORMED, alert);
		if (certs_normalise(name, buffer, &len)) {
			name = (struct str){buffer, len};
			cert = certs_find(&t->certs, tables_enter(t), name);
		}
	}
	if (!cert && !has_default)
		return refuse(SELECT_UNKNOWN, alert);
	if (set_session_context(ssl, name) != 1)
		return refuse(SELECT_FAILED, alert);
	return cert ? use(ssl, cert, parsed, name, alert) : SELECT_DEFAULT;
}
