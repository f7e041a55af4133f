#include "data-plane/plugins/revocation_source.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#include "common/core/clock.h"
#include "common/pki/cert.h"
#include "common/pki/ocsp.h"

/* Seconds by which a responder's clock may differ. */
enum { SKEW_S = 300 };

/* --- addresses --- */

/* Lists for some reasons only, or of another issuer, are not used. */
static struct str uri_of_point(const DIST_POINT *p)
{
	struct str uri = STR_NONE;

	if (p->reasons || p->CRLissuer || !p->distpoint || p->distpoint->type != 0)
		return STR_NONE;
	for (int i = 0; !uri.ptr && i < sk_GENERAL_NAME_num(p->distpoint->name.fullname); i++)
		uri = ocsp_http_uri(sk_GENERAL_NAME_value(p->distpoint->name.fullname, i));
	return uri;
}

int revocation_crl_uri(X509 *cert, char **out, struct err *e)
{
	CRL_DIST_POINTS *points = X509_get_ext_d2i(cert, NID_crl_distribution_points, NULL, NULL);
	struct str uri = STR_NONE;

	for (int i = 0; !uri.ptr && i < sk_DIST_POINT_num(points); i++)
		uri = uri_of_point(sk_DIST_POINT_value(points, i));
	*out = uri.ptr ? str_dup(uri) : NULL;
	CRL_DIST_POINTS_free(points);
	ERR_clear_error();
	return uri.ptr && !*out ? err_memory(e, "a list's address") : 0;
}

/* --- OCSP --- */

static int64_t seconds_of(const ASN1_TIME *t)
{
	int64_t seconds;

	return cert_time(t, &seconds) == 0 ? seconds : INT64_MAX;
}

/* Whether now is within [from - SKEW_S, to + SKEW_S]. */
static bool in_force(const ASN1_TIME *from, const ASN1_TIME *to)
{
	int64_t now = clock_wall_s(), begin = seconds_of(from), end = seconds_of(to);

	return begin != INT64_MAX && begin - SKEW_S <= now &&
	       (end == INT64_MAX || now <= end + SKEW_S);
}

static enum revocation_status read_basic(OCSP_BASICRESP *basic, X509 *cert, X509 *issuer,
					 int64_t *until, struct err *e)
{
	ASN1_GENERALIZEDTIME *at = NULL, *from = NULL, *to = NULL;
	OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), cert, issuer);
	int status = V_OCSP_CERTSTATUS_UNKNOWN, reason = 0;
	int found = id ? OCSP_resp_find_status(basic, id, &status, &reason, &at, &from, &to) : 0;

	OCSP_CERTID_free(id);
	if (!ocsp_is_signed(basic, issuer, clock_wall_s())) {
		err_openssl(e, ERR_DENIED, "the answer's signature does not hold");
		return REVOCATION_UNKNOWN;
	}
	if (!found || !in_force(from, to)) {
		err_set(e, ERR_DENIED,
			found ? "the answer is out of date"
			      : "the answer is about other certificates");
		return REVOCATION_UNKNOWN;
	}
	*until = seconds_of(to);
	if (status == V_OCSP_CERTSTATUS_UNKNOWN)
		err_set(e, ERR_NOT_FOUND, "the responder does not know it");
	return status == V_OCSP_CERTSTATUS_GOOD	     ? REVOCATION_GOOD
	       : status == V_OCSP_CERTSTATUS_REVOKED ? REVOCATION_REVOKED
						     : REVOCATION_UNKNOWN;
}

enum revocation_status revocation_ocsp_read(struct str der, X509 *cert, X509 *issuer,
					    int64_t *until, struct err *e)
{
	const unsigned char *at = (const unsigned char *)der.ptr;
	OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &at, (long)der.len);
	OCSP_BASICRESP *basic = NULL;
	enum revocation_status status = REVOCATION_UNKNOWN;

	if (!response)
		err_set(e, ERR_INVALID, "no OCSP response");
	else if (OCSP_response_status(response) != OCSP_RESPONSE_STATUS_SUCCESSFUL)
		err_set(e, ERR_UNAVAILABLE, "the responder answered: %s",
			OCSP_response_status_str(OCSP_response_status(response)));
	else
		basic = OCSP_response_get1_basic(response);
	if (basic)
		status = read_basic(basic, cert, issuer, until, e);
	else if (response && OCSP_response_status(response) == OCSP_RESPONSE_STATUS_SUCCESSFUL)
		err_set(e, ERR_INVALID, "no basic OCSP response");
	OCSP_BASICRESP_free(basic);
	OCSP_RESPONSE_free(response);
	ERR_clear_error();
	return status;
}

/* --- lists --- */

static X509_CRL *from_pem(struct str bytes)
{
	BIO *bio = bytes.len <= INT32_MAX ? BIO_new_mem_buf(bytes.ptr, (int)bytes.len) : NULL;
	X509_CRL *crl = bio ? PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL) : NULL;

	BIO_free(bio);
	return crl;
}

int revocation_crl_parse(X509_CRL **out, struct str bytes, struct err *e)
{
	const unsigned char *at = (const unsigned char *)bytes.ptr;
	X509_CRL *crl = bytes.len > 0 && bytes.ptr[0] == '-'
				? from_pem(bytes)
				: d2i_X509_CRL(NULL, &at, (long)bytes.len);

	ERR_clear_error();
	if (!crl)
		return err_set(e, ERR_INVALID, "no revocation list");
	*out = crl;
	return 0;
}

int64_t revocation_crl_until(const X509_CRL *crl)
{
	return seconds_of(X509_CRL_get0_nextUpdate(crl));
}

/* OpenSSL judges scope, dates, signature and the issuer's right to sign lists. */
static int verify_with(X509_STORE_CTX *x, X509 *cert, STACK_OF(X509) * anchors,
		       STACK_OF(X509_CRL) * lists)
{
	X509_VERIFY_PARAM *p;

	if (!X509_STORE_CTX_init(x, NULL, cert, NULL))
		return X509_V_ERR_OUT_OF_MEM;
	X509_STORE_CTX_set0_trusted_stack(x, anchors);
	X509_STORE_CTX_set0_crls(x, lists);
	p = X509_STORE_CTX_get0_param(x);
	X509_VERIFY_PARAM_set_time(p, (time_t)clock_wall_s());
	X509_VERIFY_PARAM_set_flags(p, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_PARTIAL_CHAIN);
	return X509_verify_cert(x) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(x);
}

enum revocation_status revocation_crl_read(X509_CRL *crl, X509 *cert, X509 *issuer, struct err *e)
{
	X509_STORE_CTX *x = X509_STORE_CTX_new();
	STACK_OF(X509) *anchors = sk_X509_new_null();
	STACK_OF(X509_CRL) *lists = sk_X509_CRL_new_null();
	int verdict = X509_V_ERR_OUT_OF_MEM;

	if (x && anchors && lists && sk_X509_push(anchors, issuer) > 0 &&
	    sk_X509_CRL_push(lists, crl) > 0)
		verdict = verify_with(x, cert, anchors, lists);
	X509_STORE_CTX_free(x);
	sk_X509_free(anchors);
	sk_X509_CRL_free(lists);
	ERR_clear_error();
	if (verdict == X509_V_OK)
		return REVOCATION_GOOD;
	if (verdict == X509_V_ERR_CERT_REVOKED)
		return REVOCATION_REVOKED;
	err_set(e, ERR_DENIED, "the list is of no use: %s", X509_verify_cert_error_string(verdict));
	return REVOCATION_UNKNOWN;
}
