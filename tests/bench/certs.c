/* Makes N certificates with keys of their own, signed by one CA, for names h0.bench.example.com
 * ...: as rows for PostgreSQL's COPY, with keys sealed as the store seals them, as lines for POST
 * /import, and the CA and the first certificate as PEM files.
 *
 *     certs N KEYRING DIR    writes DIR/certificates.copy DIR/snis.copy DIR/import.ndjson
 * DIR/ca.pem DIR/one.pem DIR/one.key
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/core/clock.h"
#include "common/core/codec.h"
#include "common/pki/cert.h"
#include "common/pki/key.h"
#include "common/pki/seal.h"

struct bench {
	struct keyring *keyring;
	EVP_PKEY *ca_key;
	X509 *ca;
	FILE *certificates, *snis, *import;
	const char *dir;
};

static FILE *open_in(const char *dir, const char *name, struct err *e)
{
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	if (!f)
		err_errno(e, ERR_INVALID, errno, "%s", path);
	return f;
}

static int write_file(const char *dir, const char *name, struct str text, struct err *e)
{
	FILE *f = open_in(dir, name, e);

	if (!f)
		return -1;
	fwrite(text.ptr, 1, text.len, f);
	return fclose(f) == 0 ? 0 : err_errno(e, ERR_UNAVAILABLE, errno, "%s", name);
}

/* COPY's text format wants line ends escaped. */
static void put_text(FILE *f, struct str text)
{
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] == '\n')
			fputs("\\n", f);
		else
			fputc(text.ptr[i], f);
	}
}

static int seal_hex(struct bench *b, const char *id, struct str key, struct buf *out, struct err *e)
{
	char context[96];
	struct buf sealed = BUF_INIT;
	int rc;

	snprintf(context, sizeof(context), "certificates.key:%s", id);
	rc = seal(b->keyring, str_from(context), key, &sealed, e);
	if (rc == 0)
		rc = hex_encode(out, buf_str(&sealed), e);
	buf_deinit(&sealed);
	return rc;
}

static int put_rows(struct bench *b, const char *name, struct str cert, struct str key,
		    struct err *e)
{
	char cert_id[UUID_TEXT_SIZE], sni_id[UUID_TEXT_SIZE];
	struct buf hex = BUF_INIT;

	if (uuid_make(cert_id, e) < 0 || uuid_make(sni_id, e) < 0 ||
	    seal_hex(b, cert_id, key, &hex, e) < 0) {
		buf_deinit(&hex);
		return -1;
	}
	fprintf(b->certificates, "%s\t", cert_id);
	put_text(b->certificates, cert);
	fprintf(b->certificates, "\t\\\\x%s\n", hex.data);
	fprintf(b->snis, "%s\t%s\t%s\n", sni_id, name, cert_id);
	/* Line ends are escaped as in COPY. */
	fputs("{\"certificates\":{\"cert\":\"", b->import);
	put_text(b->import, cert);
	fputs("\",\"key\":\"", b->import);
	put_text(b->import, key);
	fprintf(b->import, "\",\"snis\":[\"%s\"]}}\n", name);
	buf_deinit(&hex);
	return 0;
}

static int make_one(struct bench *b, size_t i, struct err *e)
{
	char name[64];
	const char *names[] = {name, NULL};
	struct cert_make m = {.common_name = name, .names = names, .server = true};
	struct buf cert = BUF_INIT, key = {.secret = true};
	EVP_PKEY *pkey = NULL;
	X509 *x = NULL;
	int rc;

	snprintf(name, sizeof(name), "h%zu.bench.example.com", i);
	m.not_before = clock_wall_s() - 3600;
	m.not_after = m.not_before + 90 * 86400;
	rc = key_generate(&pkey, KEY_EC_P256, e);
	if (rc == 0)
		rc = cert_make(&x, &m, pkey, b->ca, b->ca_key, e);
	if (rc == 0)
		rc = cert_to_pem(&cert, x, e);
	if (rc == 0)
		rc = cert_to_pem(&cert, b->ca, e);
	if (rc == 0)
		rc = key_to_pem(&key, pkey, e);
	if (rc == 0)
		rc = put_rows(b, name, buf_str(&cert), buf_str(&key), e);
	if (rc == 0 && i == 0)
		rc = write_file(b->dir, "one.pem", buf_str(&cert), e);
	if (rc == 0 && i == 0)
		rc = write_file(b->dir, "one.key", buf_str(&key), e);
	buf_deinit(&cert);
	buf_deinit(&key);
	EVP_PKEY_free(pkey);
	X509_free(x);
	return rc;
}

static int make_ca(struct bench *b, struct err *e)
{
	struct cert_make m = {.common_name = "bench CA", .ca = true};
	struct buf pem = BUF_INIT;
	int rc;

	m.not_before = clock_wall_s() - 7200;
	m.not_after = m.not_before + 3650LL * 86400;
	if (key_generate(&b->ca_key, KEY_EC_P256, e) < 0 ||
	    cert_make(&b->ca, &m, b->ca_key, NULL, NULL, e) < 0)
		return -1;
	rc = cert_to_pem(&pem, b->ca, e);
	if (rc == 0)
		rc = write_file(b->dir, "ca.pem", buf_str(&pem), e);
	buf_deinit(&pem);
	return rc;
}

static int run(char **argv, uint64_t n, struct err *e)
{
	struct bench b = {.dir = argv[3]};
	int rc = keyring_load(&b.keyring, argv[2], e);

	if (rc == 0)
		rc = make_ca(&b, e);
	if (rc == 0 && (!(b.certificates = open_in(b.dir, "certificates.copy", e)) ||
			!(b.snis = open_in(b.dir, "snis.copy", e)) ||
			!(b.import = open_in(b.dir, "import.ndjson", e))))
		rc = -1;
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = make_one(&b, i, e);
	if (b.certificates)
		fclose(b.certificates);
	if (b.snis)
		fclose(b.snis);
	if (b.import)
		fclose(b.import);
	X509_free(b.ca);
	EVP_PKEY_free(b.ca_key);
	keyring_free(b.keyring);
	return rc;
}

int main(int argc, char **argv)
{
	struct err e = ERR_INIT;
	uint64_t n;

	if (argc != 4 || str_u64(str_from(argv[1]), &n) < 0) {
		fputs("usage: certs N KEYRING DIR\n", stderr);
		return 2;
	}
	if (run(argv, n, &e) < 0) {
		fprintf(stderr, "certs: %s\n", e.message);
		return 1;
	}
	return 0;
}
