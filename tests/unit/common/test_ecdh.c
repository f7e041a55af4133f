/* pki/ecdh: agrees with OpenSSL's own P-256 and X25519, refuses points that are none, and is what
 * handshakes use, of servers and clients, in TLS 1.2 and 1.3. The other side is a library context
 * without it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>

#include "common/core/compiler.h"
#include "common/pki/ecdh.h"
#include "common/pki/provider.h"
#include "tests/unit/lib/testcert.h"

enum { POINT_SIZE = 65, SECRET_SIZE = 32, ROUNDS = 64, NEVER_DONE = 20 };

static struct {
	struct testca ca;
	X509 *cert;
	EVP_PKEY *key;
	OSSL_LIB_CTX *plain;
} bed;

static int setup(void **state)
{
	const struct testcert_options o = {.san = "DNS:a.example"};
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(provider_install(&e), 0);
	assert_int_equal(provider_install(&e), 0);
	testca_init(&bed.ca, "ca");
	testcert_issue(&bed.ca, &o, &bed.cert, &bed.key);
	bed.plain = OSSL_LIB_CTX_new();
	assert_non_null(bed.plain);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	X509_free(bed.cert);
	EVP_PKEY_free(bed.key);
	testca_deinit(&bed.ca);
	OSSL_LIB_CTX_free(bed.plain);
	return 0;
}

static EVP_PKEY *pair_of(OSSL_LIB_CTX *library, const char *type)
{
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(library, type, NULL);
	EVP_PKEY *key = NULL;

	assert_non_null(c);
	assert_int_equal(EVP_PKEY_keygen_init(c), 1);
	assert_int_equal(EVP_PKEY_keygen(c, &key), 1);
	EVP_PKEY_CTX_free(c);
	return key;
}

static EVP_PKEY *own_pair(void)
{
	return pair_of(NULL, ECDH_KEY_TYPE);
}

static EVP_PKEY *plain_pair(void)
{
	EVP_PKEY *key = EVP_PKEY_Q_keygen(bed.plain, NULL, "EC", "P-256");

	assert_non_null(key);
	return key;
}

static void point_of(EVP_PKEY *key, unsigned char out[POINT_SIZE])
{
	unsigned char *point = NULL;

	assert_int_equal(EVP_PKEY_get1_encoded_public_key(key, &point), POINT_SIZE);
	memcpy(out, point, POINT_SIZE);
	OPENSSL_free(point);
}

/* A key with parameters only, as libssl makes it for a peer's share. */
static EVP_PKEY *empty(OSSL_LIB_CTX *context, const char *type, const char *group)
{
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(context, type, NULL);
	EVP_PKEY *key = NULL;

	assert_non_null(c);
	assert_int_equal(EVP_PKEY_paramgen_init(c), 1);
	assert_int_equal(EVP_PKEY_CTX_set_group_name(c, group), 1);
	assert_int_equal(EVP_PKEY_paramgen(c, &key), 1);
	EVP_PKEY_CTX_free(c);
	return key;
}

static EVP_PKEY *public_of(OSSL_LIB_CTX *context, const char *type, EVP_PKEY *of)
{
	EVP_PKEY *key = empty(context, type, "prime256v1");
	unsigned char point[POINT_SIZE];

	point_of(of, point);
	assert_int_equal(EVP_PKEY_set1_encoded_public_key(key, point, sizeof(point)), 1);
	return key;
}

static void derive(OSSL_LIB_CTX *context, EVP_PKEY *own, EVP_PKEY *peer,
		   unsigned char out[SECRET_SIZE])
{
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_pkey(context, own, NULL);
	size_t len = 0;

	assert_non_null(c);
	assert_int_equal(EVP_PKEY_derive_init(c), 1);
	assert_int_equal(EVP_PKEY_derive_set_peer(c, peer), 1);
	assert_int_equal(EVP_PKEY_derive(c, NULL, &len), 1);
	assert_int_equal(len, SECRET_SIZE);
	assert_int_equal(EVP_PKEY_derive(c, out, &len), 1);
	assert_int_equal(len, SECRET_SIZE);
	EVP_PKEY_CTX_free(c);
}

static void test_agrees_with_openssl(void **state)
{
	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		EVP_PKEY *ours = own_pair(), *theirs = plain_pair();
		EVP_PKEY *their_share = public_of(NULL, ECDH_KEY_TYPE, theirs);
		EVP_PKEY *our_share = public_of(bed.plain, "EC", ours);
		unsigned char a[SECRET_SIZE], b[SECRET_SIZE];

		derive(NULL, ours, their_share, a);
		derive(bed.plain, theirs, our_share, b);
		assert_memory_equal(a, b, SECRET_SIZE);
		EVP_PKEY_free(ours);
		EVP_PKEY_free(theirs);
		EVP_PKEY_free(their_share);
		EVP_PKEY_free(our_share);
	}
}

static EVP_PKEY *x25519_share(OSSL_LIB_CTX *library, const char *type, EVP_PKEY *of)
{
	EVP_PKEY *key = empty(library, type, "X25519");
	unsigned char *point = NULL;

	assert_int_equal(EVP_PKEY_get1_encoded_public_key(of, &point), SECRET_SIZE);
	assert_int_equal(EVP_PKEY_set1_encoded_public_key(key, point, SECRET_SIZE), 1);
	OPENSSL_free(point);
	return key;
}

static void test_x25519_agrees_with_openssl(void **state)
{
	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		EVP_PKEY *ours = pair_of(NULL, ECDH_X25519_TYPE);
		EVP_PKEY *theirs = pair_of(bed.plain, "X25519");
		EVP_PKEY *their_share = x25519_share(NULL, ECDH_X25519_TYPE, theirs);
		EVP_PKEY *our_share = x25519_share(bed.plain, "X25519", ours);
		unsigned char a[SECRET_SIZE], b[SECRET_SIZE];

		derive(NULL, ours, their_share, a);
		derive(bed.plain, theirs, our_share, b);
		assert_memory_equal(a, b, SECRET_SIZE);
		EVP_PKEY_free(ours);
		EVP_PKEY_free(theirs);
		EVP_PKEY_free(their_share);
		EVP_PKEY_free(our_share);
	}
}

/* Shares of the wrong length, and one whose product is zero; keys of the two kinds do not meet. */
static void test_x25519_refuses(void **state)
{
	static const size_t lengths[] = {0, 1, 31, 33, 65};
	EVP_PKEY *own = pair_of(NULL, ECDH_X25519_TYPE), *other = own_pair();
	EVP_PKEY *share = x25519_share(NULL, ECDH_X25519_TYPE, own);
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_pkey(NULL, own, NULL);
	unsigned char zeros[65] = {0}, out[SECRET_SIZE];
	size_t len = sizeof(out);

	(void)state;
	for (size_t i = 0; i < array_len(lengths); i++)
		assert_int_not_equal(EVP_PKEY_set1_encoded_public_key(share, zeros, lengths[i]), 1);
	assert_int_equal(EVP_PKEY_set1_encoded_public_key(share, zeros, SECRET_SIZE), 1);
	assert_int_equal(EVP_PKEY_derive_init(c), 1);
	assert_int_not_equal(EVP_PKEY_derive_set_peer(c, other), 1);
	assert_int_equal(EVP_PKEY_derive_set_peer(c, share), 1);
	assert_int_not_equal(EVP_PKEY_derive(c, out, &len), 1);
	assert_int_equal(EVP_PKEY_get_bits(own), 253);
	assert_int_equal(EVP_PKEY_eq(own, own), 1);
	ERR_clear_error();
	EVP_PKEY_CTX_free(c);
	EVP_PKEY_free(own);
	EVP_PKEY_free(other);
	EVP_PKEY_free(share);
}

static void test_pairs_differ(void **state)
{
	EVP_PKEY *a = own_pair(), *b = own_pair(), *copy;

	(void)state;
	assert_int_equal(EVP_PKEY_eq(a, a), 1);
	assert_int_equal(EVP_PKEY_eq(a, b), 0);
	copy = EVP_PKEY_dup(a);
	assert_int_equal(EVP_PKEY_eq(a, copy), 1);
	EVP_PKEY_free(copy);
	EVP_PKEY_free(a);
	EVP_PKEY_free(b);
}

static void test_parameters(void **state)
{
	EVP_PKEY *key = own_pair(), *to = EVP_PKEY_new();
	char name[32];

	(void)state;
	assert_int_equal(EVP_PKEY_get_bits(key), 256);
	assert_int_equal(EVP_PKEY_get_security_bits(key), 128);
	assert_int_equal(EVP_PKEY_get_group_name(key, name, sizeof(name), NULL), 1);
	assert_string_equal(name, "prime256v1");
	/* As libssl does with a TLS 1.2 client's key exchange. */
	assert_int_equal(EVP_PKEY_copy_parameters(to, key), 1);
	assert_int_equal(EVP_PKEY_get1_encoded_public_key(to, &(unsigned char *){NULL}), 0);
	ERR_clear_error();
	EVP_PKEY_free(to);
	EVP_PKEY_free(key);
}

/* A key pair keeps its point. */
static void test_pair_takes_no_point(void **state)
{
	EVP_PKEY *a = own_pair(), *b = own_pair();
	unsigned char point[POINT_SIZE];

	(void)state;
	point_of(b, point);
	assert_int_equal(EVP_PKEY_set1_encoded_public_key(a, point, sizeof(point)), 0);
	assert_int_equal(EVP_PKEY_eq(a, b), 0);
	ERR_clear_error();
	EVP_PKEY_free(a);
	EVP_PKEY_free(b);
}

/* p of P-256. */
static const unsigned char prime[32] = {
	0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff,
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
};

static void test_refuses_points(void **state)
{
	const struct {
		const char *name;
		size_t len;
		int first;    /* of the point; -1: as it was */
		int flip;     /* byte whose last bit is changed; -1: none */
		int prime_at; /* where p stands; -1: nowhere */
		bool zeros;
	} rows[] = {
		{"nothing", 0, -1, -1, -1, false},
		{"infinity", 1, 0, -1, -1, false},
		{"infinity, long", POINT_SIZE, 0, -1, -1, true},
		{"compressed, even", 33, 2, -1, -1, false},
		{"compressed, odd", 33, 3, -1, -1, false},
		{"hybrid, even", POINT_SIZE, 6, -1, -1, false},
		{"hybrid, odd", POINT_SIZE, 7, -1, -1, false},
		{"format 5", POINT_SIZE, 5, -1, -1, false},
		{"one byte short", POINT_SIZE - 1, -1, -1, -1, false},
		{"one byte long", POINT_SIZE + 1, -1, -1, -1, false},
		{"x is off the curve", POINT_SIZE, -1, 32, -1, false},
		{"y is off the curve", POINT_SIZE, -1, 64, -1, false},
		{"x is p", POINT_SIZE, -1, -1, 1, false},
		{"y is p", POINT_SIZE, -1, -1, 33, false},
		{"0, 0", POINT_SIZE, 4, -1, -1, true},
	};
	EVP_PKEY *good = own_pair();

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		unsigned char point[POINT_SIZE + 1] = {0};
		EVP_PKEY *key = empty(NULL, ECDH_KEY_TYPE, "prime256v1");

		point_of(good, point);
		if (rows[i].zeros)
			memset(point, 0, sizeof(point));
		if (rows[i].first >= 0)
			point[0] = (unsigned char)rows[i].first;
		if (rows[i].flip >= 0)
			point[rows[i].flip] ^= 1;
		if (rows[i].prime_at >= 0)
			memcpy(point + rows[i].prime_at, prime, sizeof(prime));
		if (EVP_PKEY_set1_encoded_public_key(key, point, rows[i].len) == 1)
			fail_msg("%s was taken", rows[i].name);
		ERR_clear_error();
		EVP_PKEY_free(key);
	}
	EVP_PKEY_free(good);
}

/* Neither a pair without a peer, nor a peer without a point, nor a share as our own key. */
static void test_needs_both(void **state)
{
	EVP_PKEY *own = own_pair(), *nothing = empty(NULL, ECDH_KEY_TYPE, "prime256v1");
	EVP_PKEY *share = public_of(NULL, ECDH_KEY_TYPE, own);
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_pkey(NULL, own, NULL);
	EVP_PKEY_CTX *d = EVP_PKEY_CTX_new_from_pkey(NULL, share, NULL);
	unsigned char out[SECRET_SIZE];
	size_t len = sizeof(out);

	(void)state;
	assert_int_equal(EVP_PKEY_derive_init(c), 1);
	assert_int_not_equal(EVP_PKEY_derive(c, out, &len), 1);
	assert_int_not_equal(EVP_PKEY_derive_set_peer(c, nothing), 1);
	assert_int_equal(EVP_PKEY_derive_set_peer(c, share), 1);
	len = sizeof(out) - 1;
	assert_int_not_equal(EVP_PKEY_derive(c, out, &len), 1);
	assert_int_not_equal(EVP_PKEY_derive_init(d), 1);
	ERR_clear_error();
	EVP_PKEY_CTX_free(c);
	EVP_PKEY_CTX_free(d);
	EVP_PKEY_free(own);
	EVP_PKEY_free(nothing);
	EVP_PKEY_free(share);
}

/* --- handshakes --- */

static SSL_CTX *context(OSSL_LIB_CTX *library, bool server, int version, const char *groups)
{
	SSL_CTX *c =
		SSL_CTX_new_ex(library, NULL, server ? TLS_server_method() : TLS_client_method());
	char list[32];

	assert_non_null(c);
	assert_true((size_t)snprintf(list, sizeof(list), "%s", groups) < sizeof(list));
	assert_int_equal(SSL_CTX_set_min_proto_version(c, version), 1);
	assert_int_equal(SSL_CTX_set_max_proto_version(c, version), 1);
	assert_int_equal(SSL_CTX_set1_groups_list(c, list), 1);
	if (server) {
		assert_int_equal(SSL_CTX_use_certificate(c, bed.cert), 1);
		assert_int_equal(SSL_CTX_use_PrivateKey(c, bed.key), 1);
	}
	return c;
}

static bool is_made_by(SSL *ssl, const char *type)
{
	EVP_PKEY *key = NULL;
	bool is;

	assert_int_equal(SSL_get_peer_tmp_key(ssl, &key), 1);
	is = EVP_PKEY_is_a(key, type) == 1;
	EVP_PKEY_free(key);
	return is;
}

static bool shake(SSL *client, SSL *server)
{
	for (int i = 0; i < NEVER_DONE; i++) {
		int a = SSL_do_handshake(client), b = SSL_do_handshake(server);

		if (a == 1 && b == 1)
			return true;
		if ((a != 1 && SSL_get_error(client, a) != SSL_ERROR_WANT_READ) ||
		    (b != 1 && SSL_get_error(server, b) != SSL_ERROR_WANT_READ))
			return false;
	}
	return false;
}

static void test_handshakes(void **state)
{
	const struct {
		const char *name;
		bool our_server, our_client;
		int version;
		const char *client, *server; /* groups */
		bool done;
		const char *type; /* of keys */
	} rows[] = {
		{"server, 1.3", true, false, TLS1_3_VERSION, "P-256", "P-256", true, ECDH_KEY_TYPE},
		{"server, 1.2", true, false, TLS1_2_VERSION, "P-256", "P-256", true, ECDH_KEY_TYPE},
		{"client, 1.3", false, true, TLS1_3_VERSION, "P-256", "P-256", true, ECDH_KEY_TYPE},
		{"client, 1.2", false, true, TLS1_2_VERSION, "P-384:P-256", "P-256", true,
		 ECDH_KEY_TYPE},
		{"both, 1.3", true, true, TLS1_3_VERSION, "P-256", "P-256", true, ECDH_KEY_TYPE},
		{"both, 1.2", true, true, TLS1_2_VERSION, "P-384:P-256", "P-256", true,
		 ECDH_KEY_TYPE},
		{"neither", false, false, TLS1_3_VERSION, "P-256", "P-256", true, "EC"},
		{"by its other name", true, true, TLS1_3_VERSION, "P-256", "prime256v1", true,
		 ECDH_KEY_TYPE},
		{"asked again", true, true, TLS1_3_VERSION, "X25519:P-256", "P-256", true,
		 ECDH_KEY_TYPE},
		{"another group, 1.3", true, true, TLS1_3_VERSION, "X25519:P-256", "X25519:P-256",
		 true, ECDH_X25519_TYPE},
		{"another group, 1.2", true, true, TLS1_2_VERSION, "X25519:P-256:P-384",
		 "X25519:P-256", true, ECDH_X25519_TYPE},
		{"a larger curve, 1.3", true, true, TLS1_3_VERSION, "P-384", "P-384", true, "EC"},
		{"X25519, server, 1.3", true, false, TLS1_3_VERSION, "X25519", "X25519", true,
		 ECDH_X25519_TYPE},
		{"X25519, server, 1.2", true, false, TLS1_2_VERSION, "X25519:P-256", "X25519", true,
		 ECDH_X25519_TYPE},
		{"X25519, client, 1.3", false, true, TLS1_3_VERSION, "X25519", "X25519", true,
		 ECDH_X25519_TYPE},
		{"X25519, client, 1.2", false, true, TLS1_2_VERSION, "X25519:P-256:P-384", "X25519",
		 true, ECDH_X25519_TYPE},
		{"X25519, neither", false, false, TLS1_3_VERSION, "X25519", "X25519", true,
		 "X25519"},
		{"asked again for X25519", true, true, TLS1_3_VERSION, "P-256:X25519", "X25519",
		 true, ECDH_X25519_TYPE},
		{"none in common", true, true, TLS1_3_VERSION, "P-384", "P-256", false, NULL},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		SSL_CTX *s = context(rows[i].our_server ? NULL : bed.plain, true, rows[i].version,
				     rows[i].server);
		SSL_CTX *c = context(rows[i].our_client ? NULL : bed.plain, false, rows[i].version,
				     rows[i].client);
		SSL *server = SSL_new(s), *client = SSL_new(c);
		BIO *a, *b;

		assert_int_equal(BIO_new_bio_pair(&a, 65536, &b, 65536), 1);
		SSL_set_bio(server, a, a);
		SSL_set_bio(client, b, b);
		SSL_set_accept_state(server);
		SSL_set_connect_state(client);
		if (shake(client, server) != rows[i].done)
			fail_msg("%s", rows[i].name);
		/* A TLS 1.2 server keeps no key of the client's. */
		if (rows[i].done && rows[i].our_client && !is_made_by(client, rows[i].type))
			fail_msg("%s: another exchange", rows[i].name);
		if (rows[i].done && rows[i].our_server && rows[i].version == TLS1_3_VERSION &&
		    !is_made_by(server, rows[i].type))
			fail_msg("%s: another exchange", rows[i].name);
		ERR_clear_error();
		SSL_free(server);
		SSL_free(client);
		SSL_CTX_free(s);
		SSL_CTX_free(c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_agrees_with_openssl),
		cmocka_unit_test(test_x25519_agrees_with_openssl),
		cmocka_unit_test(test_x25519_refuses),
		cmocka_unit_test(test_pairs_differ),
		cmocka_unit_test(test_parameters),
		cmocka_unit_test(test_pair_takes_no_point),
		cmocka_unit_test(test_refuses_points),
		cmocka_unit_test(test_needs_both),
		cmocka_unit_test(test_handshakes),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
