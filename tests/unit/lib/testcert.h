/* Certificates and TLS contexts for tests, made in memory with plain OpenSSL calls. Every function
 * fails the test when OpenSSL refuses. */
#ifndef CARDEA_TESTS_TESTCERT_H
#define CARDEA_TESTS_TESTCERT_H

#include <openssl/ssl.h>
#include <stdbool.h>

struct testca {
	X509 *cert;
	EVP_PKEY *key;
};

/* A self-signed P-256 CA. */
void testca_init(struct testca *ca, const char *name);
void testca_deinit(struct testca *ca);

/* What a leaf is like; zeros give a good one. */
struct testcert_options {
	const char *name;  /* subject CN; NULL: "leaf" */
	const char *san;   /* "DNS:a.example,IP:127.0.0.1"; NULL: none */
	long from_seconds; /* notBefore and notAfter, from now; both 0: an hour ago, in 90 days */
	long to_seconds;
	bool rsa; /* RSA 2048 instead of P-256 */
};
/* A leaf of ca; the caller frees both. */
void testcert_issue(const struct testca *ca, const struct testcert_options *o, X509 **cert,
		    EVP_PKEY **key);

/* A hardened server context with a leaf for san; client_ca not NULL: client certificates of it are
 * required. */
SSL_CTX *testcert_server(const struct testca *ca, const char *san, const struct testca *client_ca);
/* A hardened client context that trusts `trusted` (NULL: verifies nothing) and shows a leaf of own
 * (NULL: none). */
SSL_CTX *testcert_client(const struct testca *trusted, const struct testca *own);

/* Writes PEM files. key may be NULL. */
void testcert_write(const char *path, X509 *cert);
void testcert_write_key(const char *path, EVP_PKEY *key);

/* The same as files for daemons' options: a new folder with ca.crt (of trusted), leaf.crt and
 * leaf.key (a leaf of ca for san, which may be NULL). */
struct testcert_files {
	char folder[48];
	char ca[64], cert[64], key[64];
};
void testcert_files_init(struct testcert_files *f, const struct testca *ca,
			 const struct testca *trusted, const char *san);
/* Removes folder and files. */
void testcert_files_deinit(struct testcert_files *f);

#endif
