/* Account keys as operators give them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "control-plane/acme/jwk.h"
#include "control-plane/acme/jws.h"

/* RFC 7517 appendix A.2, and RFC 7515 appendix A.3 (P-256). */
static const char ec[] = "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":"
			 "\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\",\"y\":\"x_FEzRu9m36HLN_"
			 "tue659LNpXW6pCyStikYjKIWI5a0\",\"d\":\"jpsQnnGQmL-YBIffH1136cspYG6-"
			 "0iY7X1fCE9-E9LI\"}";

static void test_ec(void **state)
{
	struct buf b = BUF_INIT;
	EVP_PKEY *key = NULL;

	(void)state;
	assert_int_equal(jwk_or_pem_key(&key, STR(" \n"), NULL), -1);
	assert_int_equal(buf_addf(&b, NULL, "\n %s", ec), 0);
	assert_int_equal(jwk_or_pem_key(&key, buf_str(&b), NULL), 0);
	buf_clear(&b);
	assert_int_equal(jws_jwk(&b, key, NULL), 0);
	assert_non_null(strstr(b.data, "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"));
	EVP_PKEY_free(key);
	buf_deinit(&b);
}

static void test_bad(void **state)
{
	static const char *const bad[] = {
		"",
		"{}",
		"[]",
		"{",
		"not a key",
		"{\"kty\":\"oct\",\"k\":\"AAAA\"}",
		"{\"kty\":\"EC\"}",
		"{\"kty\":\"EC\",\"crv\":\"P-521\",\"x\":\"AA\",\"y\":\"AA\",\"d\":\"AA\"}",
		"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\",\"d\":\"AA\"}",
		"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":"
		"\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
		"\",\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}",
		/* Not a point of the curve, and a private part of another key. */
		"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":"
		"\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEV"
		"\",\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\",\"d\":\"jpsQnnGQmL-"
		"YBIffH1136cspYG6-0iY7X1fCE9-E9LI\"}",
		"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":"
		"\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
		"\",\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\",\"d\":\"AAAAAAAAAAAAAAAA"
		"AAAAAAAAAAAAAAAAAAAAAAAAAAI\"}",
		"{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}",
		"{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\",\"d\":\"AQAB\",\"p\":\"AQAB\","
		"\"q\":"
		"\"AQAB\",\"dp\":\"AQAB\",\"dq\":\"AQAB\",\"qi\":\"AQAB\"}",
		"{\"kty\":\"RSA\",\"n\":\"***\"}",
		"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
	};

	(void)state;
	for (size_t i = 0; i < array_len(bad); i++) {
		EVP_PKEY *key = NULL;
		struct err e = ERR_INIT;

		if (jwk_or_pem_key(&key, str_from(bad[i]), &e) != -1)
			fail_msg("%s was taken", bad[i]);
		assert_null(key);
		assert_true(e.message[0] != 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ec),
		cmocka_unit_test(test_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
