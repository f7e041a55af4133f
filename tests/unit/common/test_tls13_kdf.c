/* pki/tls13_kdf: RFC 8448's secrets, and what OpenSSL's own derives, for every combination of
 * parameters that libssl gives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <string.h>

#include "common/core/compiler.h"
#include "common/core/str.h"
#include "common/pki/provider.h"

enum { OUT_MAX = 255 * 48 + 1, PARAMS_MAX = 8, ABSENT = -1 };

static struct {
	EVP_KDF *ours, *theirs;
	unsigned char bytes[2048];
} bed;

static int setup(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(provider_install(&e), 0);
	bed.ours = EVP_KDF_fetch(NULL, "TLS13-KDF", NULL);
	bed.theirs = EVP_KDF_fetch(NULL, "TLS13-KDF", "provider=default");
	assert_non_null(bed.ours);
	assert_non_null(bed.theirs);
	assert_ptr_not_equal(EVP_KDF_get0_provider(bed.ours), EVP_KDF_get0_provider(bed.theirs));
	for (size_t i = 0; i < sizeof(bed.bytes); i++)
		bed.bytes[i] = (unsigned char)(i * 5 + i / 256);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	EVP_KDF_free(bed.ours);
	EVP_KDF_free(bed.theirs);
	return 0;
}

struct row {
	const char *name;
	int mode;
	const char *digest;	    /* NULL: not given */
	int key, salt, label, data; /* lengths */
	size_t out;
};

static void add(OSSL_PARAM *params, size_t *n, const char *name, size_t at, int len)
{
	if (len != ABSENT)
		params[(*n)++] =
			OSSL_PARAM_construct_octet_string(name, bed.bytes + at, (size_t)len);
}

static int derive(EVP_KDF *kdf, const struct row *r, unsigned char *out)
{
	EVP_KDF_CTX *c = EVP_KDF_CTX_new(kdf);
	OSSL_PARAM params[PARAMS_MAX];
	char digest[16], prefix[] = "tls13 ";
	int mode = r->mode, rc;
	size_t n = 0;

	assert_non_null(c);
	if (mode != ABSENT)
		params[n++] = OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode);
	if (r->digest) {
		snprintf(digest, sizeof(digest), "%s", r->digest);
		params[n++] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0);
	}
	add(params, &n, OSSL_KDF_PARAM_KEY, 0, r->key);
	add(params, &n, OSSL_KDF_PARAM_SALT, 100, r->salt);
	params[n++] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PREFIX, prefix,
							sizeof(prefix) - 1);
	add(params, &n, OSSL_KDF_PARAM_LABEL, 200, r->label);
	add(params, &n, OSSL_KDF_PARAM_DATA, 300, r->data);
	params[n] = OSSL_PARAM_construct_end();
	rc = EVP_KDF_derive(c, out, r->out, params);
	EVP_KDF_CTX_free(c);
	ERR_clear_error();
	return rc;
}

enum { EXTRACT = EVP_KDF_HKDF_MODE_EXTRACT_ONLY, EXPAND = EVP_KDF_HKDF_MODE_EXPAND_ONLY };

static void test_same_as_openssl(void **state)
{
	static const struct row rows[] = {
		{"early secret without a key", EXTRACT, "SHA2-256", ABSENT, ABSENT, 7, ABSENT, 32},
		{"early secret of a ticket", EXTRACT, "SHA2-256", 32, ABSENT, 7, ABSENT, 32},
		{"handshake secret", EXTRACT, "SHA2-256", 32, 32, 7, ABSENT, 32},
		{"handshake secret, hybrid", EXTRACT, "SHA2-256", 64, 32, 7, ABSENT, 32},
		{"handshake secret, large group", EXTRACT, "SHA2-256", 1024, 32, 7, ABSENT, 32},
		{"main secret", EXTRACT, "SHA2-256", ABSENT, 32, 7, ABSENT, 32},
		{"early secret, 384", EXTRACT, "SHA2-384", ABSENT, ABSENT, 7, ABSENT, 48},
		{"handshake secret, 384", EXTRACT, "SHA2-384", 32, 48, 7, ABSENT, 48},
		{"main secret, 384", EXTRACT, "SHA2-384", ABSENT, 48, 7, ABSENT, 48},
		{"traffic secret", EXPAND, "SHA2-256", 32, ABSENT, 12, 32, 32},
		{"traffic secret, 384", EXPAND, "SHA2-384", 48, ABSENT, 12, 48, 48},
		{"key", EXPAND, "SHA2-256", 32, ABSENT, 3, ABSENT, 16},
		{"key, 384", EXPAND, "SHA2-384", 48, ABSENT, 3, ABSENT, 32},
		{"iv", EXPAND, "SHA2-256", 32, ABSENT, 2, ABSENT, 12},
		{"empty data", EXPAND, "SHA2-256", 32, ABSENT, 2, 0, 12},
		{"another name", EXPAND, "SHA256", 32, ABSENT, 2, 0, 12},
		{"two blocks", EXPAND, "SHA2-256", 32, ABSENT, 8, 32, 33},
		{"many blocks", EXPAND, "SHA2-384", 48, ABSENT, 8, 48, 1000},
		{"all blocks", EXPAND, "SHA2-256", 32, ABSENT, 8, 32, 255 * 32},
		{"short key", EXPAND, "SHA2-256", 1, ABSENT, 8, 32, 32},
		{"key of a block", EXPAND, "SHA2-256", 64, ABSENT, 8, 32, 32},
		{"long key", EXPAND, "SHA2-256", 100, ABSENT, 8, 32, 32},
		{"longest label", EXPAND, "SHA2-256", 32, ABSENT, 249, 255, 32},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		static unsigned char ours[OUT_MAX], theirs[OUT_MAX];

		if (derive(bed.ours, &rows[i], ours) != 1 ||
		    derive(bed.theirs, &rows[i], theirs) != 1 ||
		    memcmp(ours, theirs, rows[i].out) != 0)
			fail_msg("%s", rows[i].name);
	}
}

static void test_refuses(void **state)
{
	static const struct row rows[] = {
		{"no digest", EXPAND, NULL, 32, ABSENT, 2, ABSENT, 12},
		{"SHA-1", EXPAND, "SHA1", 32, ABSENT, 2, ABSENT, 12},
		{"no such digest", EXPAND, "SHA257", 32, ABSENT, 2, ABSENT, 12},
		{"no mode", ABSENT, "SHA2-256", 32, ABSENT, 2, ABSENT, 12},
		{"both modes", EVP_KDF_HKDF_MODE_EXTRACT_AND_EXPAND, "SHA2-256", 32, 32, 2, ABSENT,
		 12},
		{"no such mode", 7, "SHA2-256", 32, ABSENT, 2, ABSENT, 12},
		{"expand without a key", EXPAND, "SHA2-256", ABSENT, ABSENT, 2, ABSENT, 12},
		{"label too long", EXPAND, "SHA2-256", 32, ABSENT, 250, ABSENT, 12},
		{"data too long", EXPAND, "SHA2-256", 32, ABSENT, 2, 256, 12},
		{"too many blocks", EXPAND, "SHA2-256", 32, ABSENT, 2, ABSENT, 255 * 32 + 1},
		{"extract too little", EXTRACT, "SHA2-256", 32, 32, 7, ABSENT, 31},
		{"extract too much", EXTRACT, "SHA2-256", 32, 32, 7, ABSENT, 33},
		{"extract with a label too long", EXTRACT, "SHA2-256", 32, 32, 250, ABSENT, 32},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		static unsigned char out[OUT_MAX];

		if (derive(bed.ours, &rows[i], out) == 1)
			fail_msg("%s", rows[i].name);
	}
}

/* All parameters come with the derivation. */
static void test_keeps_nothing(void **state)
{
	EVP_KDF_CTX *c = EVP_KDF_CTX_new(bed.ours);
	unsigned char out[32];
	int mode = EXPAND;
	const OSSL_PARAM params[] = {OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
				     OSSL_PARAM_construct_end()};

	(void)state;
	assert_int_not_equal(EVP_KDF_CTX_set_params(c, params), 1);
	assert_int_not_equal(EVP_KDF_derive(c, out, sizeof(out), NULL), 1);
	EVP_KDF_CTX_reset(c);
	EVP_KDF_CTX_free(c);
	ERR_clear_error();
}

/* RFC 8448, section 3. */
static void test_rfc8448(void **state)
{
	static const unsigned char early[32] = {
		0x33, 0xad, 0x0a, 0x1c, 0x60, 0x7e, 0xc0, 0x3b, 0x09, 0xe6, 0xcd,
		0x98, 0x93, 0x68, 0x0c, 0xe2, 0x10, 0xad, 0xf3, 0x00, 0xaa, 0x1f,
		0x26, 0x60, 0xe1, 0xb2, 0x2e, 0x10, 0xf1, 0x70, 0xf9, 0x2a,
	};
	const struct row r = {"early secret", EXTRACT, "SHA2-256", ABSENT, ABSENT, 7, ABSENT, 32};
	unsigned char out[32];

	(void)state;
	assert_int_equal(derive(bed.ours, &r, out), 1);
	assert_memory_equal(out, early, sizeof(early));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_as_openssl),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_keeps_nothing),
		cmocka_unit_test(test_rfc8448),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
