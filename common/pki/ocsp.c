#include "common/pki/ocsp.h"

#include <openssl/err.h>
#include <openssl/tls1.h>

static bool is_http(struct str uri)
{
	return str_ieq(str_sub(uri, 0, 7), STR("http://")) ||
	       str_ieq(str_sub(uri, 0, 8), STR("https://"));
}

struct str ocsp_http_uri(const GENERAL_NAME *name)
{
	int type = 0;
	const ASN1_STRING *value = GENERAL_NAME_get0_value(name, &type);
	struct str uri;

	if (type != GEN_URI)
		return STR_NONE;
	uri = (struct str){(const char *)ASN1_STRING_get0_data(value),
			   (size_t)ASN1_STRING_length(value)};
	return is_http(uri) && str_find(uri, '\0', 0) == uri.len ? uri : STR_NONE;
}

int ocsp_uri(X509 *cert, char **out, struct err *e)
{
	AUTHORITY_INFO_ACCESS *info = X509_get_ext_d2i(cert, NID_info_access, NULL, NULL);
	struct str uri = STR_NONE;

	for (int i = 0; !uri.ptr && i < sk_ACCESS_DESCRIPTION_num(info); i++) {
		const ACCESS_DESCRIPTION *d = sk_ACCESS_DESCRIPTION_value(info, i);

		if (OBJ_obj2nid(d->method) == NID_ad_OCSP)
			uri = ocsp_http_uri(d->location);
	}
	*out = uri.ptr ? str_dup(uri) : NULL;
	AUTHORITY_INFO_ACCESS_free(info);
	ERR_clear_error();
	return uri.ptr && !*out ? err_memory(e, "a responder's address") : 0;
}

bool ocsp_demanded(X509 *cert)
{
	TLS_FEATURE *features = X509_get_ext_d2i(cert, NID_tlsfeature, NULL, NULL);
	bool found = false;

	for (int i = 0; i < sk_ASN1_INTEGER_num(features); i++) {
		long feature = ASN1_INTEGER_get(sk_ASN1_INTEGER_value(features, i));

		found = found || feature == TLSEXT_TYPE_status_request || feature == 17;
	}
	TLS_FEATURE_free(features);
	ERR_clear_error();
	return found;
}

int ocsp_request(struct buf *out, X509 *cert, X509 *issuer, struct err *e)
{
	OCSP_REQUEST *request = OCSP_REQUEST_new();
	OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), cert, issuer);
	unsigned char *der = NULL;
	int len = -1;
	int rc;

	if (request && id && OCSP_request_add0_id(request, id)) {
		id = NULL;
		len = i2d_OCSP_REQUEST(request, &der);
	}
	rc = len > 0 ? buf_add(out, der, (size_t)len, e)
		     : err_openssl(e, ERR_MEMORY, "making an OCSP request");
	OPENSSL_free(der);
	OCSP_CERTID_free(id);
	OCSP_REQUEST_free(request);
	return rc;
}

bool ocsp_is_signed(OCSP_BASICRESP *basic, X509 *issuer, int64_t at)
{
	X509_STORE *store = X509_STORE_new();
	STACK_OF(X509) *known = sk_X509_new_null();
	bool good = false;

	if (store && known && X509_STORE_add_cert(store, issuer) &&
	    X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN) &&
	    sk_X509_push(known, issuer) > 0) {
		X509_VERIFY_PARAM_set_time(X509_STORE_get0_param(store), (time_t)at);
		good = OCSP_basic_verify(basic, known, store, 0) == 1;
	}
	sk_X509_free(known);
	X509_STORE_free(store);
	return good;
}
