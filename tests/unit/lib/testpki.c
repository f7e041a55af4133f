#include "tests/unit/lib/testpki.h"

#include <openssl/ocsp.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *x;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	x = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	assert_non_null(x);
	assert_int_equal(X509_add_ext(cert, x, -1), 1);
	X509_EXTENSION_free(x);
}

static void add_padding(X509 *cert, size_t bytes)
{
	char *text = malloc(bytes + 1);

	assert_non_null(text);
	memset(text, 'x', bytes);
	text[bytes] = '\0';
	add_extension(cert, cert, NID_netscape_comment, text);
	free(text);
}

static void add_uris(X509 *cert, X509 *issuer, const struct testpki_options *o)
{
	char text[512];

	if (o->ocsp) {
		snprintf(text, sizeof(text), "OCSP;URI:%s", o->ocsp);
		add_extension(cert, issuer, NID_info_access, text);
	}
	if (o->crl) {
		snprintf(text, sizeof(text), "URI:%s", o->crl);
		add_extension(cert, issuer, NID_crl_distribution_points, text);
	}
}

void testpki_make(struct testca *out, const struct testca *issuer, const struct testpki_options *o)
{
	bool usual = o->from_seconds == 0 && o->to_seconds == 0;
	const char *name = o->name ? o->name : "client";
	const char *usage = o->usage ? o->usage : o->ca ? "" : "clientAuth";
	X509 *above;
	uint64_t serial;

	out->cert = X509_new();
	out->key = EVP_EC_gen("P-256");
	assert_non_null(out->cert);
	assert_non_null(out->key);
	above = issuer ? issuer->cert : out->cert;
	assert_int_equal(RAND_bytes((unsigned char *)&serial, sizeof(serial)), 1);
	assert_int_equal(X509_set_version(out->cert, X509_VERSION_3), 1);
	assert_int_equal(ASN1_INTEGER_set_uint64(X509_get_serialNumber(out->cert), serial >> 1), 1);
	assert_non_null(
		X509_gmtime_adj(X509_getm_notBefore(out->cert), usual ? -3600 : o->from_seconds));
	assert_non_null(X509_gmtime_adj(X509_getm_notAfter(out->cert),
					usual ? 90L * 86400 : o->to_seconds));
	assert_int_equal(X509_set_pubkey(out->cert, out->key), 1);
	if (*name)
		assert_int_equal(X509_NAME_add_entry_by_txt(X509_get_subject_name(out->cert), "CN",
							    MBSTRING_UTF8,
							    (const unsigned char *)name, -1, -1, 0),
				 1);
	assert_int_equal(X509_set_issuer_name(out->cert, X509_get_subject_name(above)), 1);
	add_extension(out->cert, above, NID_basic_constraints,
		      o->ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
	add_extension(out->cert, above, NID_key_usage,
		      o->ca ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature");
	if (o->ca)
		add_extension(out->cert, above, NID_subject_key_identifier, "hash");
	if (*usage)
		add_extension(out->cert, above, NID_ext_key_usage, usage);
	if (o->san)
		add_extension(out->cert, above, NID_subject_alt_name, o->san);
	add_uris(out->cert, above, o);
	if (o->feature)
		add_extension(out->cert, above, NID_tlsfeature, o->feature);
	if (o->padding)
		add_padding(out->cert, o->padding);
	assert_true(X509_sign(out->cert, issuer ? issuer->key : out->key,
			      o->sha1 ? EVP_sha1() : EVP_sha256()) > 0);
}

static ASN1_TIME *from_now(long seconds)
{
	ASN1_TIME *t = X509_gmtime_adj(NULL, seconds);

	assert_non_null(t);
	return t;
}

void testpki_crl(struct buf *out, const struct testca *issuer, X509 *revoked, long from_seconds,
		 long to_seconds)
{
	X509_CRL *crl = X509_CRL_new();
	ASN1_TIME *from = from_now(from_seconds), *to = from_now(to_seconds);
	unsigned char *der = NULL;
	int len;

	assert_non_null(crl);
	assert_int_equal(X509_CRL_set_version(crl, X509_CRL_VERSION_2), 1);
	assert_int_equal(X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer->cert)), 1);
	assert_int_equal(X509_CRL_set1_lastUpdate(crl, from), 1);
	assert_int_equal(X509_CRL_set1_nextUpdate(crl, to), 1);
	if (revoked) {
		X509_REVOKED *r = X509_REVOKED_new();

		assert_non_null(r);
		assert_int_equal(
			X509_REVOKED_set_serialNumber(
				r, (ASN1_INTEGER *)(uintptr_t)X509_get0_serialNumber(revoked)),
			1);
		assert_int_equal(X509_REVOKED_set_revocationDate(r, from), 1);
		assert_int_equal(X509_CRL_add0_revoked(crl, r), 1);
	}
	X509_CRL_sort(crl);
	assert_true(X509_CRL_sign(crl, issuer->key, EVP_sha256()) > 0);
	len = i2d_X509_CRL(crl, &der);
	assert_true(len > 0);
	assert_int_equal(buf_add(out, der, (size_t)len, NULL), 0);
	OPENSSL_free(der);
	ASN1_TIME_free(from);
	ASN1_TIME_free(to);
	X509_CRL_free(crl);
}

void testpki_ocsp(struct buf *out, X509 *cert, const struct testca *issuer,
		  const struct testca *signer, enum testpki_answer answer, long from_seconds,
		  long to_seconds)
{
	static const int statuses[] = {V_OCSP_CERTSTATUS_GOOD, V_OCSP_CERTSTATUS_REVOKED,
				       V_OCSP_CERTSTATUS_UNKNOWN};
	OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
	OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), cert, issuer->cert);
	ASN1_TIME *from = from_now(from_seconds), *to = from_now(to_seconds);
	OCSP_RESPONSE *response;
	unsigned char *der = NULL;
	int len;

	assert_non_null(basic);
	assert_non_null(id);
	assert_non_null(OCSP_basic_add1_status(basic, id, statuses[answer],
					       OCSP_REVOKED_STATUS_KEYCOMPROMISE,
					       answer == TESTPKI_REVOKED ? from : NULL, from, to));
	assert_int_equal(OCSP_basic_sign(basic, signer->cert, signer->key, EVP_sha256(), NULL, 0),
			 1);
	response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
	assert_non_null(response);
	len = i2d_OCSP_RESPONSE(response, &der);
	assert_true(len > 0);
	assert_int_equal(buf_add(out, der, (size_t)len, NULL), 0);
	OPENSSL_free(der);
	OCSP_RESPONSE_free(response);
	OCSP_BASICRESP_free(basic);
	OCSP_CERTID_free(id);
	ASN1_TIME_free(from);
	ASN1_TIME_free(to);
}
