#include "data-plane/tls/select.h"

#include "common/core/log.h"
#include "data-plane/tls/policy.h"

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

static int put(SSL *ssl, const struct parsed_cert *p)
{
	SSL_certs_clear(ssl); /* of the default certificate */
	for (size_t i = 0; i < p->count; i++)
		if (SSL_use_cert_and_key(ssl, p->parts[i].leaf, p->parts[i].key, p->parts[i].chain,
					 1) != 1)
			return -1;
	return 0;
}

int select_use(SSL *ssl, const struct cert *cert, struct parsed_cache *parsed)
{
	struct err e = ERR_INIT;
	const struct parsed_cert *p;
	struct str name = str_from(SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name));

	if (parsed_cache_get(parsed, cert, &p, &e) == 0 &&
	    (put(ssl, p) == 0 || err_openssl(&e, ERR_INTERNAL, "certificate is not usable") == 0))
		return 0;
	log_error("certificate cannot be served", log_err(&e),
		  log_strn("name", name.ptr ? name.ptr : "", name.len));
	return -1;
}

enum select_result select_certificate(SSL *ssl, const struct tables *t, const struct addr *to,
				      bool has_default, const struct cert **out, int *alert)
{
	const unsigned char *ext;
	size_t len;
	struct str name = STR("");
	struct tls_policy policy;
	struct err e = ERR_INIT;

	if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &ext, &len) == 1 &&
	    select_server_name((struct str){(const char *)ext, len}, &name) != SELECT_FOUND)
		return refuse(SELECT_MALFORMED, alert);
	if (name.len == 0 && to)
		tls_policy_of_address(t, tables_enter(t), to, &policy);
	else
		tls_policy_of(t, tables_enter(t), name, &policy);
	if (!policy.cert && !has_default)
		return refuse(SELECT_UNKNOWN, alert);
	if (tls_policy_apply(ssl, &policy, &e) != 0) {
		log_error("rules of a name cannot be applied", log_err(&e),
			  log_strn("name", policy.name, policy.name_len));
		return refuse(SELECT_FAILED, alert);
	}
	*out = policy.cert;
	return policy.cert ? SELECT_FOUND : SELECT_DEFAULT;
}
