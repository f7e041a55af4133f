#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <time.h>

#include "common/pki/cert.h"
#include "common/pki/pem.h"
#include "common/pki/san.h"

/* Certificates of our own: the cluster's, and those of tests. */

enum { SERIAL_SIZE = 16, ACME_DIGEST = 32 };

static int fail(struct err *e)
{
	return err_openssl(e, ERR_INTERNAL, "cannot make a certificate");
}

static int set_serial(X509 *cert, struct err *e)
{
	unsigned char bytes[SERIAL_SIZE];
	BIGNUM *number;
	int ok;

	if (RAND_bytes(bytes, sizeof(bytes)) != 1)
		return fail(e);
	bytes[0] = (unsigned char)((bytes[0] & 0x3f) | 0x40); /* positive, and always 16 bytes */
	number = BN_bin2bn(bytes, sizeof(bytes), NULL);
	ok = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert));
	BN_free(number);
	return ok ? 0 : fail(e);
}

static int set_subject(X509 *cert, const char *common_name, struct err *e)
{
	X509_NAME *name = X509_NAME_new();
	int ok;

	ok = name &&
	     (!common_name ||
	      X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8,
					 (const unsigned char *)common_name, -1, -1, 0) == 1) &&
	     X509_set_subject_name(cert, name) == 1;
	X509_NAME_free(name);
	return ok ? 0 : fail(e);
}

static int set_dates(X509 *cert, const struct cert_make *m, struct err *e)
{
	if (!ASN1_TIME_adj(X509_getm_notBefore(cert), (time_t)m->not_before, 0, 0) ||
	    !ASN1_TIME_adj(X509_getm_notAfter(cert), (time_t)m->not_after, 0, 0))
		return fail(e);
	return 0;
}

static int add_extension(X509 *cert, X509V3_CTX *ctx, int nid, const char *value, struct err *e)
{
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, ctx, nid, value);
	int ok = extension && X509_add_ext(cert, extension, -1) == 1;

	X509_EXTENSION_free(extension);
	return ok ? 0 : fail(e);
}

static int add_names(X509 *cert, const char *const *names, struct err *e)
{
	GENERAL_NAMES *san;
	int result = 0;

	if (!names || !names[0])
		return 0;
	san = sk_GENERAL_NAME_new_null();
	if (!san)
		return err_memory(e, "names of a certificate");
	for (; *names && result == 0; names++)
		result = san_add(san, str_from(*names), e);
	if (result == 0 &&
	    X509_add1_ext_i2d(cert, NID_subject_alt_name, san, 0, X509V3_ADD_DEFAULT) != 1)
		result = fail(e);
	GENERAL_NAMES_free(san);
	return result;
}

/* id-pe-acmeIdentifier, which not every OpenSSL has a name for: an OCTET STRING in the extension's
 * own. */
static int add_acme_identifier(X509 *cert, const unsigned char *digest, struct err *e)
{
	unsigned char value[2 + ACME_DIGEST] = {V_ASN1_OCTET_STRING, ACME_DIGEST};
	ASN1_OBJECT *id = OBJ_txt2obj("1.3.6.1.5.5.7.1.31", 1);
	ASN1_OCTET_STRING *content = ASN1_OCTET_STRING_new();
	X509_EXTENSION *extension = NULL;
	int ok;

	memcpy(value + 2, digest, ACME_DIGEST);
	ok = id && content && ASN1_OCTET_STRING_set(content, value, sizeof(value)) == 1;
	if (ok)
		extension = X509_EXTENSION_create_by_OBJ(NULL, id, 1, content);
	ok = extension && X509_add_ext(cert, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	ASN1_OCTET_STRING_free(content);
	ASN1_OBJECT_free(id);
	return ok ? 0 : fail(e);
}

static const char *usage_of(const struct cert_make *m)
{
	if (m->client && m->server)
		return "serverAuth,clientAuth";
	if (m->client)
		return "clientAuth";
	return m->server ? "serverAuth" : NULL;
}

static int add_extensions(X509 *cert, X509 *issuer, const struct cert_make *m, struct err *e)
{
	const char *usage = usage_of(m);
	X509V3_CTX ctx;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	if (add_extension(cert, &ctx, NID_basic_constraints,
			  m->ca ? "critical,CA:TRUE" : "critical,CA:FALSE", e) < 0 ||
	    add_extension(cert, &ctx, NID_key_usage,
			  m->ca ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature",
			  e) < 0 ||
	    add_extension(cert, &ctx, NID_subject_key_identifier, "hash", e) < 0 ||
	    add_extension(cert, &ctx, NID_authority_key_identifier, "keyid:always", e) < 0)
		return -1;
	if (usage && add_extension(cert, &ctx, NID_ext_key_usage, usage, e) < 0)
		return -1;
	if (m->acme_identifier && add_acme_identifier(cert, m->acme_identifier, e) < 0)
		return -1;
	return add_names(cert, m->names, e);
}

int cert_make(X509 **out, const struct cert_make *m, EVP_PKEY *key, X509 *issuer,
	      EVP_PKEY *issuer_key, struct err *e)
{
	X509 *cert = X509_new();

	if (!cert)
		return err_memory(e, "certificate");
	if (set_subject(cert, m->common_name, e) < 0 || set_serial(cert, e) < 0 ||
	    set_dates(cert, m, e) < 0)
		goto failed;
	if (X509_set_version(cert, X509_VERSION_3) != 1 || X509_set_pubkey(cert, key) != 1 ||
	    X509_set_issuer_name(cert, X509_get_subject_name(issuer ? issuer : cert)) != 1) {
		fail(e);
		goto failed;
	}
	if (add_extensions(cert, issuer ? issuer : cert, m, e) < 0)
		goto failed;
	if (X509_sign(cert, issuer ? issuer_key : key, EVP_sha256()) <= 0) {
		fail(e);
		goto failed;
	}
	*out = cert;
	return 0;
failed:
	X509_free(cert);
	return -1;
}

int cert_to_der(struct buf *out, X509 *cert, struct err *e)
{
	unsigned char *der = NULL;
	int len = i2d_X509(cert, &der);
	int result;

	if (len <= 0)
		return err_openssl(e, ERR_INTERNAL, "cannot encode a certificate");
	result = buf_add(out, der, (size_t)len, e);
	OPENSSL_free(der);
	return result;
}

int cert_to_pem(struct buf *out, X509 *cert, struct err *e)
{
	struct buf der = BUF_INIT;
	int result = -1;

	if (cert_to_der(&der, cert, e) == 0)
		result = pem_write(out, "CERTIFICATE", buf_str(&der), e);
	buf_deinit(&der);
	return result;
}
