#include "tests/unit/lib/testcert.h"

#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/net/tls.h"

static EVP_PKEY *make_key(bool rsa)
{
	EVP_PKEY *key = rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");

	assert_non_null(key);
	return key;
}

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

static X509 *make_cert(const char *name, EVP_PKEY *key, long from, long to)
{
	X509 *cert = X509_new();
	uint64_t serial;

	assert_non_null(cert);
	assert_int_equal(RAND_bytes((unsigned char *)&serial, sizeof(serial)), 1);
	assert_int_equal(X509_set_version(cert, X509_VERSION_3), 1);
	assert_int_equal(ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial >> 1), 1);
	assert_non_null(X509_gmtime_adj(X509_getm_notBefore(cert), from));
	assert_non_null(X509_gmtime_adj(X509_getm_notAfter(cert), to));
	assert_int_equal(X509_set_pubkey(cert, key), 1);
	assert_int_equal(X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN",
						    MBSTRING_UTF8, (const unsigned char *)name, -1,
						    -1, 0),
			 1);
	return cert;
}

void testca_init(struct testca *ca, const char *name)
{
	ca->key = make_key(false);
	ca->cert = make_cert(name, ca->key, -3600, 3650L * 86400);
	assert_int_equal(X509_set_issuer_name(ca->cert, X509_get_subject_name(ca->cert)), 1);
	add_extension(ca->cert, ca->cert, NID_basic_constraints, "critical,CA:TRUE");
	add_extension(ca->cert, ca->cert, NID_key_usage, "critical,keyCertSign,cRLSign");
	add_extension(ca->cert, ca->cert, NID_subject_key_identifier, "hash");
	assert_true(X509_sign(ca->cert, ca->key, EVP_sha256()) > 0);
}

void testca_deinit(struct testca *ca)
{
	X509_free(ca->cert);
	EVP_PKEY_free(ca->key);
}

void testcert_issue(const struct testca *ca, const struct testcert_options *o, X509 **cert,
		    EVP_PKEY **key)
{
	bool usual = o->from_seconds == 0 && o->to_seconds == 0;

	*key = make_key(o->rsa);
	*cert = make_cert(o->name ? o->name : "leaf", *key, usual ? -3600 : o->from_seconds,
			  usual ? 90L * 86400 : o->to_seconds);
	assert_int_equal(X509_set_issuer_name(*cert, X509_get_subject_name(ca->cert)), 1);
	add_extension(*cert, ca->cert, NID_basic_constraints, "critical,CA:FALSE");
	add_extension(*cert, ca->cert, NID_key_usage, "critical,digitalSignature");
	add_extension(*cert, ca->cert, NID_ext_key_usage, "serverAuth,clientAuth");
	add_extension(*cert, ca->cert, NID_authority_key_identifier, "keyid");
	if (o->san)
		add_extension(*cert, ca->cert, NID_subject_alt_name, o->san);
	assert_true(X509_sign(*cert, ca->key, EVP_sha256()) > 0);
}

static SSL_CTX *make_context(bool server, const struct testca *issuer, const char *san)
{
	SSL_CTX *ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	const struct testcert_options o = {.san = san};
	struct err e = ERR_INIT;
	EVP_PKEY *key;
	X509 *cert;

	assert_non_null(ctx);
	assert_int_equal(tls_context_harden(ctx, &e), 0);
	if (!issuer)
		return ctx;
	testcert_issue(issuer, &o, &cert, &key);
	assert_int_equal(SSL_CTX_use_certificate(ctx, cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(ctx, key), 1);
	X509_free(cert);
	EVP_PKEY_free(key);
	return ctx;
}

static void trust(SSL_CTX *ctx, const struct testca *ca, int mode)
{
	assert_int_equal(X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), ca->cert), 1);
	SSL_CTX_set_verify(ctx, mode, NULL);
}

SSL_CTX *testcert_server(const struct testca *ca, const char *san, const struct testca *client_ca)
{
	SSL_CTX *ctx = make_context(true, ca, san);

	if (client_ca)
		trust(ctx, client_ca, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT);
	return ctx;
}

SSL_CTX *testcert_client(const struct testca *trusted, const struct testca *own)
{
	SSL_CTX *ctx = make_context(false, own, NULL);

	if (trusted)
		trust(ctx, trusted, SSL_VERIFY_PEER);
	return ctx;
}

void testcert_write(const char *path, X509 *cert)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(PEM_write_X509(f, cert), 1);
	fclose(f);
}

void testcert_write_key(const char *path, EVP_PKEY *key)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
	fclose(f);
}

void testcert_files_init(struct testcert_files *f, const struct testca *ca,
			 const struct testca *trusted, const char *san)
{
	const struct testcert_options o = {.san = san};
	X509 *cert;
	EVP_PKEY *key;

	snprintf(f->folder, sizeof(f->folder), "/tmp/cardea-unit.XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	snprintf(f->ca, sizeof(f->ca), "%s/ca.crt", f->folder);
	snprintf(f->cert, sizeof(f->cert), "%s/leaf.crt", f->folder);
	snprintf(f->key, sizeof(f->key), "%s/leaf.key", f->folder);
	testcert_issue(ca, &o, &cert, &key);
	testcert_write(f->ca, trusted->cert);
	testcert_write(f->cert, cert);
	testcert_write_key(f->key, key);
	X509_free(cert);
	EVP_PKEY_free(key);
}

void testcert_files_deinit(struct testcert_files *f)
{
	(void)unlink(f->ca);
	(void)unlink(f->cert);
	(void)unlink(f->key);
	(void)rmdir(f->folder);
}
