#include "common/pki/cert.h"

#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/pki/key.h"
#include "tests/unit/lib/oom.h"

enum { NOW = 1790000000, DAY = 24 * 3600 };

/* One authority, one intermediate and one leaf, made once. */
struct fixture {
	EVP_PKEY *root_key, *ca_key, *key, *rsa_key;
	X509 *root, *ca, *leaf;
	struct buf key_pem;
};

static X509 *make(const struct cert_make *m, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key)
{
	X509 *cert = NULL;
	struct err e = ERR_INIT;

	if (cert_make(&cert, m, key, issuer, issuer_key, &e) < 0)
		fail_msg("%s", e.message);
	return cert;
}

static const char *const leaf_names[] = {"Example.com", "*.example.com", "192.0.2.1", NULL};
static const struct cert_make root_made = {.common_name = "root",
					   .ca = true,
					   .not_before = NOW - DAY,
					   .not_after = NOW + 3650LL * DAY};
static const struct cert_make ca_made = {
	.common_name = "ca", .ca = true, .not_before = NOW - DAY, .not_after = NOW + 365LL * DAY};
static const struct cert_make leaf_made = {.common_name = "example.com",
					   .names = leaf_names,
					   .server = true,
					   .not_before = NOW,
					   .not_after = NOW + 90LL * DAY};

static int setup(void **state)
{
	static struct fixture f;
	struct err e = ERR_INIT;

	assert_int_equal(key_generate(&f.root_key, KEY_EC_P256, &e), 0);
	assert_int_equal(key_generate(&f.ca_key, KEY_EC_P384, &e), 0);
	assert_int_equal(key_generate(&f.key, KEY_EC_P256, &e), 0);
	assert_int_equal(key_generate(&f.rsa_key, KEY_RSA_2048, &e), 0);
	f.root = make(&root_made, f.root_key, NULL, NULL);
	f.ca = make(&ca_made, f.ca_key, f.root, f.root_key);
	f.leaf = make(&leaf_made, f.key, f.ca, f.ca_key);
	assert_int_equal(key_to_pem(&f.key_pem, f.key, &e), 0);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	EVP_PKEY_free(f->root_key);
	EVP_PKEY_free(f->ca_key);
	EVP_PKEY_free(f->key);
	EVP_PKEY_free(f->rsa_key);
	X509_free(f->root);
	X509_free(f->ca);
	X509_free(f->leaf);
	buf_deinit(&f->key_pem);
	return 0;
}

static int collect(struct str name, void *arg, struct err *e)
{
	struct buf *all = arg;

	return buf_addf(all, e, "%.*s,", (int)name.len, name.ptr);
}

static void test_facts(void **state)
{
	struct fixture *f = *state;
	struct cert_info info;
	struct buf names = BUF_INIT;
	struct err e = ERR_INIT;

	cert_info(f->leaf, &info);
	assert_int_equal(info.not_before, NOW);
	assert_int_equal(info.not_after, NOW + 90LL * DAY);
	assert_int_equal(strlen(info.fingerprint), 64);
	assert_int_equal(strlen(info.serial), 32);
	assert_string_equal(info.issuer, "CN=ca");
	assert_string_equal(cert_key_algorithm(f->leaf), "EC");
	assert_true(cert_matches_key(f->leaf, f->key));
	assert_false(cert_matches_key(f->leaf, f->ca_key));
	assert_false(cert_matches_key(f->leaf, f->rsa_key));
	assert_int_equal(cert_dns_names(f->leaf, collect, &names, &e), 0);
	assert_string_equal(names.data, "example.com,*.example.com,");
	buf_deinit(&names);
}

static void test_covers(void **state)
{
	static const struct {
		const char *host;
		bool want;
	} rows[] = {
		{"example.com", true},
		{"EXAMPLE.com", true},
		{"example.com.", true},
		{"a.example.com", true},
		{"A.Example.Com", true},
		{"a.b.example.com", false},
		{".example.com", false},
		{"example.org", false},
		{"", false},
		{".", false},
		{"com", false},
		{"*.example.com", false},
		{"192.0.2.1", false},
		{"xexample.com", false},
		{"a.example.comx", false},
		{"a.example.com..", false},
		{"example.com\nx", false},
		{"::1", false},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < array_len(rows); i++)
		if (cert_covers(f->leaf, str_from(rows[i].host)) != rows[i].want)
			fail_msg("%s", rows[i].host);
	assert_false(cert_covers(f->leaf, STR("example.com\0.evil.org")));
	assert_false(cert_covers(f->root, STR("root")));
}

/* The pieces a certificate text may be made of, one letter each: l leaf, c intermediate, r root,
 * o leaf of another key, k its key, d curve parameters, j junk, t text. */
static void write_piece(struct fixture *f, char piece, struct buf *out)
{
	struct err e = ERR_INIT;
	X509 *other;

	if (piece == 'l')
		assert_int_equal(cert_to_pem(out, f->leaf, &e), 0);
	else if (piece == 'c')
		assert_int_equal(cert_to_pem(out, f->ca, &e), 0);
	else if (piece == 'r')
		assert_int_equal(cert_to_pem(out, f->root, &e), 0);
	else if (piece == 'k')
		assert_int_equal(key_to_pem(out, f->key, &e), 0);
	else if (piece == 'd')
		assert_int_equal(pem_write(out, "EC PARAMETERS", STR("abc"), &e), 0);
	else if (piece == 'j')
		assert_int_equal(pem_write(out, "CERTIFICATE", STR("junk"), &e), 0);
	else if (piece == 't')
		assert_int_equal(buf_add_str(out, STR("subject=/CN=x\r\n"), &e), 0);
	if (piece != 'o')
		return;
	other = make(&leaf_made, f->rsa_key, f->ca, f->ca_key);
	assert_int_equal(cert_to_pem(out, other, &e), 0);
	X509_free(other);
}

static void test_chains(void **state)
{
	static const struct {
		const char *pieces, *want; /* want NULL: accepted */
	} rows[] = {
		{"l", NULL},
		{"lc", NULL},
		{"lcr", NULL},
		{"tltctrt", NULL},
		{"", "invalid certificate: no PEM block"},
		{"t", "invalid certificate: no PEM block"},
		{"cl", "did not issue the certificate before it"},
		{"lr", "PEM block 2"},
		{"lrc", "PEM block 2"},
		{"lcl", "PEM block 3"},
		{"ll", "PEM block 2"},
		{"c", "certificate does not match key"},
		{"r", "certificate does not match key"},
		{"oc", "certificate does not match key"},
		{"lco", "PEM block 3"},
		{"lk", "a private key among the certificates"},
		{"kl", "PEM block 1 (line 1): a private key among the certificates"},
		{"ld", "\"EC PARAMETERS\" is not a certificate"},
		{"j", "invalid certificate: PEM block 1 (line 1): invalid certificate: "},
		{"lj", "PEM block 2"},
		{"lcrrrrrrrrrrr", "a chain of more than 10"},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < array_len(rows); i++) {
		struct buf pem = BUF_INIT;
		struct cert_pair pair;
		struct err e = ERR_INIT;
		int got;

		for (const char *p = rows[i].pieces; *p; p++)
			write_piece(f, *p, &pem);
		got = cert_pair_from_pem(&pair, buf_str(&pem), buf_str(&f->key_pem), &e);
		if (rows[i].want ? got == 0 || !strstr(e.message, rows[i].want) : got < 0)
			fail_msg("%s: %d %s", rows[i].pieces, got, e.message);
		if (got == 0)
			cert_pair_free(&pair);
		buf_deinit(&pem);
	}
}

/* A chain whose names fit but whose signature is another authority's. */
static void test_same_name_other_issuer(void **state)
{
	struct fixture *f = *state;
	struct buf pem = BUF_INIT;
	struct cert_pair pair;
	struct err e = ERR_INIT;
	EVP_PKEY *key = NULL;
	X509 *impostor;

	assert_int_equal(key_generate(&key, KEY_EC_P256, &e), 0);
	impostor = make(&ca_made, key, f->root, f->root_key);
	write_piece(f, 'l', &pem);
	assert_int_equal(cert_to_pem(&pem, impostor, &e), 0);
	assert_int_equal(cert_pair_from_pem(&pair, buf_str(&pem), buf_str(&f->key_pem), &e), -1);
	assert_non_null(strstr(e.message, "PEM block 2"));
	X509_free(impostor);
	EVP_PKEY_free(key);
	buf_deinit(&pem);
}

static void test_pair_content(void **state)
{
	struct fixture *f = *state;
	struct buf pem = BUF_INIT, leaf = BUF_INIT, ca = BUF_INIT, key = BUF_INIT;
	struct cert_pair pair, unpacked;
	struct str chain;
	struct err e = ERR_INIT;

	write_piece(f, 'l', &pem);
	write_piece(f, 'c', &pem);
	assert_int_equal(cert_to_der(&leaf, f->leaf, &e), 0);
	assert_int_equal(cert_to_der(&ca, f->ca, &e), 0);
	assert_int_equal(key_to_der(&key, f->key, &e), 0);
	assert_int_equal(cert_pair_from_pem(&pair, buf_str(&pem), buf_str(&f->key_pem), &e), 0);
	assert_int_equal(cert_pair_unpack(&unpacked, buf_str(&pem), buf_str(&f->key_pem), &e), 0);
	assert_int_equal(pair.chain_count, 1);
	assert_true(str_eq(buf_str(&pair.leaf), buf_str(&leaf)));
	assert_true(str_eq(buf_str(&pair.chain[0]), buf_str(&ca)));
	assert_true(str_eq(buf_str(&pair.key), buf_str(&key)));
	assert_true(pair.key.secret);
	assert_int_equal(pair.info.not_after, NOW + 90LL * DAY);
	assert_int_equal(unpacked.chain_count, 1);
	assert_true(str_eq(buf_str(&unpacked.leaf), buf_str(&leaf)));
	assert_true(str_eq(buf_str(&unpacked.key), buf_str(&key)));
	assert_true(unpacked.key.secret);

	chain = buf_str(&ca);
	assert_int_equal(cert_pair_check_der(buf_str(&leaf), &chain, 1, buf_str(&key), &e), 0);
	assert_int_equal(cert_pair_check_der(buf_str(&ca), NULL, 0, buf_str(&key), &e), -1);
	assert_string_equal(e.message, "certificate does not match key");
	assert_int_equal(cert_pair_check_der(STR("junk"), NULL, 0, buf_str(&key), &e), -1);
	assert_int_equal(cert_pair_check_der(buf_str(&leaf), NULL, 0, STR("junk"), &e), -1);
	assert_int_equal(cert_pair_check_der(buf_str(&leaf), NULL, 0, STR(""), &e), -1);
	chain = STR("junk");
	assert_int_equal(cert_pair_check_der(buf_str(&leaf), &chain, 1, buf_str(&key), &e), -1);
	assert_non_null(strstr(e.message, "chain certificate 1"));
	for (size_t n = 0; n < leaf.len; n += 7)
		assert_int_equal(cert_pair_check_der(str_sub(buf_str(&leaf), 0, n), NULL, 0,
						     buf_str(&key), &e),
				 -1);
	cert_pair_free(&pair);
	cert_pair_free(&unpacked);
	buf_deinit(&pem);
	buf_deinit(&leaf);
	buf_deinit(&ca);
	buf_deinit(&key);
}

/* A key whose private number is not the one of its public point (the public half is believed by
 * those who only compare it). */
static void test_torn_key(void **state)
{
	struct fixture *f = *state;
	struct buf der = BUF_INIT, pem = BUF_INIT, key_pem = BUF_INIT;
	struct cert_pair pair;
	struct err e = ERR_INIT;

	assert_int_equal(key_to_der(&der, f->key, &e), 0);
	der.data[40] = (char)(der.data[40] ^ 1); /* inside the 32 bytes of the private number */
	assert_int_equal(pem_write(&key_pem, "PRIVATE KEY", buf_str(&der), &e), 0);
	write_piece(f, 'l', &pem);
	assert_int_equal(cert_pair_from_pem(&pair, buf_str(&pem), buf_str(&key_pem), &e), -1);
	assert_non_null(strstr(e.message, "private and public parts differ"));
	buf_deinit(&der);
	buf_deinit(&pem);
	buf_deinit(&key_pem);
}

static void test_leaf_from_pem(void **state)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{"", "invalid certificate: no PEM block"},
		{"garbage", "invalid certificate: no PEM block"},
		{"-----BEGIN CERTIFICATE-----\nYWJj\n", "invalid certificate: PEM block 1"},
		{"-----BEGIN CERTIFICATE-----\nYWJj\n-----END CERTIFICATE-----\n",
		 "invalid certificate: "},
		{"-----BEGIN PKCS7-----\nYWJj\n-----END PKCS7-----\n",
		 "invalid certificate: PEM block 1 is \"PKCS7\""},
	};
	struct fixture *f = *state;
	struct buf pem = BUF_INIT;
	struct err e = ERR_INIT;
	X509 *cert = NULL;

	for (size_t i = 0; i < array_len(rows); i++) {
		assert_int_equal(cert_leaf_from_pem(&cert, str_from(rows[i].text), &e), -1);
		assert_null(cert);
		if (!strstr(e.message, rows[i].want))
			fail_msg("%zu: %s", i, e.message);
	}
	write_piece(f, 'l', &pem);
	assert_int_equal(cert_leaf_from_pem(&cert, buf_str(&pem), &e), 0);
	assert_int_equal(X509_cmp(cert, f->leaf), 0);
	X509_free(cert);
	buf_deinit(&pem);
}

static void test_made_chain_verifies(void **state)
{
	struct fixture *f = *state;
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	STACK_OF(X509) *middle = sk_X509_new_null();

	sk_X509_push(middle, f->ca);
	assert_int_equal(X509_STORE_add_cert(store, f->root), 1);
	assert_int_equal(X509_STORE_CTX_init(ctx, store, f->leaf, middle), 1);
	X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(ctx), NOW + 1);
	X509_VERIFY_PARAM_set_purpose(X509_STORE_CTX_get0_param(ctx), X509_PURPOSE_SSL_SERVER);
	X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(ctx), X509_V_FLAG_X509_STRICT);
	X509_VERIFY_PARAM_set1_host(X509_STORE_CTX_get0_param(ctx), "x.example.com", 0);
	X509_VERIFY_PARAM_set1_ip_asc(X509_STORE_CTX_get0_param(ctx), "192.0.2.1");
	if (X509_verify_cert(ctx) != 1)
		fail_msg("%s", X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
	sk_X509_free(middle);
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
}

struct texts {
	struct str cert, key;
};

static void load_pair(void *arg)
{
	const struct texts *t = arg;
	struct cert_pair pair;
	struct err e = ERR_INIT;

	if (cert_pair_from_pem(&pair, t->cert, t->key, &e) == 0)
		cert_pair_free(&pair);
	if (cert_pair_unpack(&pair, t->cert, t->key, &e) == 0)
		cert_pair_free(&pair);
}

static void test_out_of_memory(void **state)
{
	struct fixture *f = *state;
	struct buf pem = BUF_INIT;
	struct texts texts;

	write_piece(f, 'l', &pem);
	write_piece(f, 'c', &pem);
	texts = (struct texts){buf_str(&pem), buf_str(&f->key_pem)};
	assert_true(oom_each(load_pair, &texts) >= 5);
	buf_deinit(&pem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_facts),	      cmocka_unit_test(test_covers),
		cmocka_unit_test(test_chains),	      cmocka_unit_test(test_same_name_other_issuer),
		cmocka_unit_test(test_pair_content),  cmocka_unit_test(test_torn_key),
		cmocka_unit_test(test_leaf_from_pem), cmocka_unit_test(test_made_chain_verifies),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
