/* pki/hmac: RFC 4231's vectors, and as "HMAC" of OpenSSL the same as OpenSSL's own in everything
 * that can be asked of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <string.h>

#include "common/core/compiler.h"
#include "common/pki/hmac.h"
#include "common/pki/provider.h"

enum { LONG = 131 };

static struct {
	EVP_MAC *ours, *theirs;
	unsigned char bytes[600];
} bed;

static int setup(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(provider_install(&e), 0);
	bed.ours = EVP_MAC_fetch(NULL, "HMAC", NULL);
	bed.theirs = EVP_MAC_fetch(NULL, "HMAC", "provider=default");
	assert_non_null(bed.ours);
	assert_non_null(bed.theirs);
	for (size_t i = 0; i < sizeof(bed.bytes); i++)
		bed.bytes[i] = (unsigned char)(i * 7 + i / 256);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	EVP_MAC_free(bed.ours);
	EVP_MAC_free(bed.theirs);
	return 0;
}

static void test_is_the_one_in_front(void **state)
{
	(void)state;
	assert_ptr_not_equal(EVP_MAC_get0_provider(bed.ours), EVP_MAC_get0_provider(bed.theirs));
}

static void test_names(void **state)
{
	static const struct {
		const char *name;
		size_t size;
	} rows[] = {
		{"SHA256", 32},	     {"sha256", 32},   {"SHA2-256", 32}, {"SHA-256", 32},
		{"SHA384", 48},	     {"SHA2-384", 48}, {"SHA-384", 48},	 {"", 0},
		{"SHA1", 0},	     {"SHA512", 0},    {"SHA224", 0},	 {"SHA3-256", 0},
		{"SHA2-512/256", 0}, {"MD5", 0},       {"SHA2560", 0},	 {"SHA25", 0},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		const struct sha2 *d = sha2_by_name(rows[i].name);

		if ((d ? d->size : 0) != rows[i].size)
			fail_msg("%s", rows[i].name);
	}
}

static void unhex(const char *hex, unsigned char *out)
{
	for (; *hex; hex += 2) {
		const char two[3] = {hex[0], hex[1], '\0'};
		char *end;

		*out++ = (unsigned char)strtoul(two, &end, 16);
		assert_ptr_equal(end, two + 2);
	}
}

/* RFC 4231, cases 1 to 4, 6 and 7. */
static void test_vectors(void **state)
{
	static const struct {
		int key; /* byte that is repeated; 0: 1, 2, 3 ...; -1: "Jefe" */
		size_t key_len;
		int data; /* the same; -1: text */
		size_t len;
		const char *text;
		const char *sha256, *sha384;
	} rows[] = {
		{0x0b, 20, -1, 0, "Hi There",
		 "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
		 "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59c"
		 "faea9ea9076ede7f4af152e8b2fa9cb6"},
		{-1, 4, -1, 0, "what do ya want for nothing?",
		 "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
		 "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e"
		 "8e2240ca5e69e2c78b3239ecfab21649"},
		{0xaa, 20, 0xdd, 50, NULL,
		 "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
		 "88062608d3e6ad8a0aa2ace014c8a86f0aa635d947ac9febe83ef4e55966144b"
		 "2a5ab39dc13814b94e3ab6e101a34f27"},
		{0, 25, 0xcd, 50, NULL,
		 "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
		 "3e8a69b7783c25851933ab6290af6ca77a9981480850009cc5577c6e1f573b4e"
		 "6801dd23c4a7d679ccf8a386c674cffb"},
		{0xaa, LONG, -1, 0, "Test Using Larger Than Block-Size Key - Hash Key First",
		 "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
		 "4ece084485813e9088d2c63a041bc5b44f9ef1012a2b588f3cd11f05033ac4c6"
		 "0c2ef6ab4030fe8296248df163f44952"},
		{0xaa, LONG, -1, 0,
		 "This is a test using a larger than block-size key and a larger than "
		 "block-size data. The key needs to be hashed before being used by the HMAC "
		 "algorithm.",
		 "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
		 "6617178e941f020d351e2f254e8fd32c602420feb0b8fb9adccebb82461e99c5"
		 "a678cc31e799176d3860e6110c46523e"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows) * 2; i++) {
		const struct sha2 *d = sha2_by_name(i % 2 ? "SHA384" : "SHA256");
		unsigned char key[LONG], data[64], want[HMAC_SIZE_MAX], got[HMAC_SIZE_MAX];
		struct str bytes = {(const char *)data, rows[i / 2].len};
		struct hmac h;

		memset(key, rows[i / 2].key, sizeof(key));
		memset(data, rows[i / 2].data, sizeof(data));
		for (size_t j = 0; rows[i / 2].key == 0 && j < sizeof(key); j++)
			key[j] = (unsigned char)(j + 1);
		if (rows[i / 2].key < 0)
			memcpy(key, "Jefe", 4);
		if (rows[i / 2].text)
			bytes = str_from(rows[i / 2].text);
		unhex(i % 2 ? rows[i / 2].sha384 : rows[i / 2].sha256, want);
		hmac_set_key(&h, d, (struct str){(const char *)key, rows[i / 2].key_len});
		for (int again = 0; again < 2; again++) {
			hmac_add(&h, str_sub(bytes, 0, bytes.len / 3));
			hmac_add(&h, str_sub(bytes, bytes.len / 3, bytes.len));
			hmac_end(&h, got);
			assert_memory_equal(got, want, d->size);
			hmac_start(&h);
		}
	}
}

/* --- as OpenSSL calls it --- */

static EVP_MAC_CTX *make(EVP_MAC *mac, const char *digest)
{
	EVP_MAC_CTX *c = EVP_MAC_CTX_new(mac);
	char name[32];
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
		OSSL_PARAM_construct_end(),
	};

	assert_true((size_t)snprintf(name, sizeof(name), "%s", digest) < sizeof(name));
	assert_non_null(c);
	assert_int_equal(EVP_MAC_CTX_set_params(c, params), 1);
	return c;
}

static size_t finish(EVP_MAC_CTX *c, unsigned char out[EVP_MAX_MD_SIZE])
{
	size_t n = 0;

	assert_int_equal(EVP_MAC_final(c, out, &n, EVP_MAX_MD_SIZE), 1);
	return n;
}

/* Twice with one key, as a copy made half-way, and with the key as a parameter. */
static void compare(const char *digest, size_t key_len, size_t len)
{
	EVP_MAC_CTX *a = make(bed.ours, digest), *b = make(bed.theirs, digest), *copy;
	unsigned char want[EVP_MAX_MD_SIZE], got[EVP_MAX_MD_SIZE];
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, bed.bytes, key_len),
		OSSL_PARAM_construct_end(),
	};
	size_t n;

	assert_int_equal(EVP_MAC_init(a, bed.bytes, key_len, NULL), 1);
	assert_int_equal(EVP_MAC_init(b, bed.bytes, key_len, NULL), 1);
	assert_int_equal(EVP_MAC_CTX_get_mac_size(a), EVP_MAC_CTX_get_mac_size(b));
	assert_int_equal(EVP_MAC_CTX_get_block_size(a), EVP_MAC_CTX_get_block_size(b));
	assert_int_equal(EVP_MAC_update(b, bed.bytes, len), 1);
	n = finish(b, want);
	for (int again = 0; again < 2; again++) {
		assert_int_equal(EVP_MAC_update(a, bed.bytes, len / 2), 1);
		copy = EVP_MAC_CTX_dup(a);
		assert_int_equal(EVP_MAC_update(a, bed.bytes + len / 2, len - len / 2), 1);
		assert_int_equal(EVP_MAC_update(copy, bed.bytes + len / 2, len - len / 2), 1);
		assert_int_equal(finish(a, got), n);
		assert_memory_equal(got, want, n);
		assert_int_equal(finish(copy, got), n);
		assert_memory_equal(got, want, n);
		EVP_MAC_CTX_free(copy);
		assert_int_equal(EVP_MAC_init(a, NULL, 0, again ? NULL : params), 1);
	}
	EVP_MAC_CTX_free(a);
	EVP_MAC_CTX_free(b);
}

static void test_same_as_openssl(void **state)
{
	static const char *const digests[] = {"SHA256", "SHA384", "SHA1",
					      "SHA512", "MD5",	  "SHA224"};
	static const size_t key_lens[] = {1, 16, 32, 48, 63, 64, 65, 127, 128, 129, 300};
	static const size_t lens[] = {0, 1, 55, 56, 63, 64, 65, 111, 112, 128, 300};

	(void)state;
	for (size_t d = 0; d < array_len(digests); d++)
		for (size_t k = 0; k < array_len(key_lens); k++)
			for (size_t l = 0; l < array_len(lens); l++)
				compare(digests[d], key_lens[k], lens[l]);
}

/* The MAC of a CBC record in TLS 1.2, whose time must not tell how long the padding is. */
static void test_record(void **state)
{
	EVP_MAC_CTX *c[2] = {make(bed.ours, "SHA256"), make(bed.theirs, "SHA256")};
	unsigned char out[2][EVP_MAX_MD_SIZE],
		header[13] = {0, 0, 0, 0, 0, 0, 0, 1, 23, 3, 3, 0, 100};
	size_t size = 100 + 32 + 12;
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_TLS_DATA_SIZE, &size),
		OSSL_PARAM_construct_end(),
	};

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(EVP_MAC_init(c[i], bed.bytes, 32, NULL), 1);
		assert_int_equal(EVP_MAC_CTX_set_params(c[i], params), 1);
		assert_int_equal(EVP_MAC_update(c[i], header, sizeof(header)), 1);
		assert_int_equal(EVP_MAC_update(c[i], bed.bytes, 100), 1);
		assert_int_equal(finish(c[i], out[i]), 32);
		EVP_MAC_CTX_free(c[i]);
	}
	assert_memory_equal(out[0], out[1], 32);
}

static void test_refuses(void **state)
{
	EVP_MAC_CTX *none = EVP_MAC_CTX_new(bed.ours), *c = make(bed.ours, "SHA256");
	unsigned char out[32];
	size_t n = 0;
	char unknown[] = "SHA257";
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, unknown, 0),
		OSSL_PARAM_construct_end(),
	};

	(void)state;
	/* No digest; no key; no digest of that name; too little room. */
	assert_int_equal(EVP_MAC_init(none, bed.bytes, 32, NULL), 0);
	assert_int_equal(EVP_MAC_init(c, NULL, 0, NULL), 0);
	assert_int_equal(EVP_MAC_update(c, bed.bytes, 1), 0);
	assert_int_equal(EVP_MAC_final(c, out, &n, sizeof(out)), 0);
	assert_int_equal(EVP_MAC_CTX_set_params(none, params), 0);
	assert_int_equal(EVP_MAC_init(c, bed.bytes, 32, NULL), 1);
	assert_int_equal(EVP_MAC_final(c, out, &n, sizeof(out) - 1), 0);
	assert_int_equal(EVP_MAC_final(c, out, &n, sizeof(out)), 1);
	EVP_MAC_CTX_free(none);
	EVP_MAC_CTX_free(c);
	ERR_clear_error();
}

static void test_another_digest_wants_its_key(void **state)
{
	EVP_MAC_CTX *c = make(bed.ours, "SHA256");
	char name[] = "SHA384";
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
		OSSL_PARAM_construct_end(),
	};

	(void)state;
	assert_int_equal(EVP_MAC_init(c, bed.bytes, 32, NULL), 1);
	assert_int_equal(EVP_MAC_CTX_set_params(c, params), 1);
	assert_int_equal(EVP_MAC_update(c, bed.bytes, 1), 0);
	assert_int_equal(EVP_MAC_init(c, bed.bytes, 32, NULL), 1);
	assert_int_equal(EVP_MAC_CTX_get_mac_size(c), 48);
	EVP_MAC_CTX_free(c);
	ERR_clear_error();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_is_the_one_in_front),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_same_as_openssl),
		cmocka_unit_test(test_record),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_another_digest_wants_its_key),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
