/* Kong's keys and values: read as it writes them, and refused where somebody else did. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "control-plane/acme/kong_layout.h"
#include "tests/unit/lib/oom.h"

#define LE "https://acme-v02.api.letsencrypt.org/directory"

static void test_keys(void **state)
{
	static const struct {
		struct str key;
		enum kong_kind kind;
		const char *name;
	} rows[] = {
		{STR("kong_acme:account:" LE ":YUBi"), KONG_ACCOUNT, LE ":YUBi"},
		{STR("kong_acme:cert_key:a.com"), KONG_CERTIFICATE, "a.com"},
		{STR("kong_acme:cert_key:"), KONG_CERTIFICATE, ""},
		{STR("kong_acme:renew_config:a.com"), KONG_HOST, "a.com"},
		{STR("kong_acme:update_lock:a.com"), KONG_PASSING, "a.com"},
		{STR("kong_acme:fail_backoff:a.com"), KONG_PASSING, "a.com"},
		{STR("kong_acme:renew_last_run"), KONG_PASSING, ""},
		{STR("token#http-01"), KONG_PASSING, "token#http-01"},
		{STR("kong_acme:renew_last_run2"), KONG_OTHER, "kong_acme:renew_last_run2"},
		{STR("kong_acme:"), KONG_OTHER, "kong_acme:"},
		{STR("kong_acme:Cert_key:a"), KONG_OTHER, "kong_acme:Cert_key:a"},
		{STR("cert_key:a"), KONG_OTHER, "cert_key:a"},
		{STR("#http-0"), KONG_OTHER, "#http-0"},
		{STR("\xff\0x"), KONG_OTHER, NULL},
		{STR(""), KONG_OTHER, ""},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct kong_key k = kong_key_read(rows[i].key);

		assert_int_equal(k.kind, rows[i].kind);
		assert_true(!rows[i].name || str_eq(k.name, str_from(rows[i].name)));
		assert_non_null(kong_kind_name(k.kind));
	}
}

static void test_account_names(void **state)
{
	static const struct {
		struct str name;
		const char *uri, *email; /* NULL: refused */
	} rows[] = {
		{STR(LE ":YUBi"), LE, "a@b"},
		{STR("https:--ca-directory:Pj4/QD8/"), "https:--ca-directory", ">>?@??"},
		/* As Consul and Vault have the slashes of base64. */
		{STR("https:--ca-directory:Pj4-QD8-"), "https:--ca-directory", ">>?@??"},
		{STR(""), NULL, NULL},
		{STR(":"), NULL, NULL},
		{STR(":YUBi"), NULL, NULL},
		{STR(LE), NULL, NULL},
		{STR(LE ":"), NULL, NULL},
		{STR(LE ":YUB"), NULL, NULL},
		{STR(LE ":YUBi\n"), NULL, NULL},
		{STR(LE ":YSBi"), NULL, NULL}, /* "a b" */
		{STR(LE ":AAAA"), NULL, NULL}, /* NUL */
		{STR("https://ca\x01:YUBi"), NULL, NULL},
		{STR("https://c\xc3\xa4:YUBi"), NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct buf email = BUF_INIT;
		struct str uri = STR_NONE;
		struct err e = ERR_INIT;
		int rc = kong_account_read(rows[i].name, &uri, &email, &e);

		assert_int_equal(rc, rows[i].uri ? 0 : -1);
		if (rows[i].uri) {
			assert_true(str_eq(uri, str_from(rows[i].uri)));
			assert_string_equal(email.data, rows[i].email);
		} else {
			assert_int_equal(e.kind, ERR_INVALID);
		}
		buf_deinit(&email);
	}
}

static void test_addresses(void **state)
{
	static const struct {
		const char *key, *uri;
		bool is;
	} rows[] = {
		{LE, LE, true},
		{"https:--acme-v02.api.letsencrypt.org-directory", LE, true},
		{"https:/-acme-v02.api.letsencrypt.org-directory", LE, true},
		{"https:--acme/v02.api.letsencrypt.org-directory", LE, false},
		{"https:--acme-v02.api.letsencrypt.org-director", LE, false},
		{"", LE, false},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++)
		assert_int_equal(kong_uri_is(str_from(rows[i].key), str_from(rows[i].uri)),
				 rows[i].is);
}

static void test_values(void **state)
{
	static const struct {
		struct str value;
		bool account, certificate, host;
	} rows[] = {
		{STR("{\"key\":\"K\"}"), true, false, false},
		{STR("{\"key\":\"K\",\"cert\":\"C\"}"), true, true, false},
		{STR("{\"host\":\"a.com\",\"expire_at\":1}"), false, false, true},
		{STR("{\"host\":\"a.com\",\"expire_at\":1.5,\"more\":[]}"), false, false, true},
		{STR("{\"host\":\"a.com\",\"expire_at\":-1}"), false, false, false},
		{STR("{\"host\":\"a.com\",\"expire_at\":1e300}"), false, false, false},
		{STR("{\"host\":\"a.com\",\"expire_at\":\"1\"}"), false, false, false},
		{STR("{\"host\":\"a.com\"}"), false, false, false},
		{STR("{\"host\":1,\"expire_at\":1}"), false, false, false},
		{STR("{\"key\":\"\",\"cert\":\"\"}"), false, false, false},
		{STR("{\"key\":null,\"cert\":true}"), false, false, false},
		{STR("{\"key\":{},\"cert\":[]}"), false, false, false},
		{STR("{\"key\":\"a\\u0000b\",\"cert\":\"C\"}"), false, false, false},
		{STR("{\"key\":\"\xff\",\"cert\":\"C\"}"), false, false, false},
		{STR("{\"key\":\"K\",\"cert\":\"C\""), false, false, false},
		{STR("{\"key\":\"K\",\"cert\":\"C\"} x"), false, false, false},
		{STR("[\"key\"]"), false, false, false},
		{STR("\"key\""), false, false, false},
		{STR("null"), false, false, false},
		{STR("placeholder"), false, false, false},
		{STR("\0"), false, false, false},
		{STR(""), false, false, false},
		{{NULL, 0}, false, false, false},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct buf a = BUF_INIT, b = BUF_INIT;
		struct err e = ERR_INIT;
		int64_t at = -1;

		assert_int_equal(kong_read_account_key(rows[i].value, &a, &e),
				 rows[i].account ? 0 : -1);
		assert_int_equal(kong_read_certificate(rows[i].value, &a, &b, &e),
				 rows[i].certificate ? 0 : -1);
		assert_int_equal(kong_read_host(rows[i].value, &a, &at, &e), rows[i].host ? 0 : -1);
		assert_int_equal(at, rows[i].host ? 1 : -1);
		buf_deinit(&a);
		buf_deinit(&b);
	}
}

/* What is written is read again, byte for byte. */
static void test_round_trip(void **state)
{
	struct buf out = BUF_INIT, a = BUF_INIT, b = BUF_INIT;
	struct str uri, odd = STR("line\n\"\\\xc3\xa4");
	int64_t at = 0;

	(void)state;
	assert_int_equal(kong_write_key(&out, KONG_CERTIFICATE, STR("a.com"), NULL), 0);
	assert_string_equal(out.data, "kong_acme:cert_key:a.com");
	assert_int_equal(kong_write_key(&out, KONG_OTHER, STR("a.com"), NULL), -1);
	buf_clear(&out);
	assert_int_equal(kong_write_account_name(&out, STR(LE), STR("a@b"), NULL), 0);
	assert_int_equal(kong_account_read(buf_str(&out), &uri, &a, NULL), 0);
	assert_string_equal(a.data, "a@b");
	buf_clear(&out);
	buf_clear(&a);
	assert_int_equal(kong_write_certificate(&out, odd, STR("k"), NULL), 0);
	assert_int_equal(kong_read_certificate(buf_str(&out), &a, &b, NULL), 0);
	assert_true(str_eq(buf_str(&a), odd) && str_eq(buf_str(&b), STR("k")));
	buf_clear(&out);
	buf_clear(&a);
	assert_int_equal(kong_write_host(&out, STR("a.com"), 1900000000, NULL), 0);
	assert_string_equal(out.data, "{\"host\":\"a.com\",\"expire_at\":1900000000}");
	assert_int_equal(kong_read_host(buf_str(&out), &a, &at, NULL), 0);
	assert_int_equal(at, 1900000000);
	buf_clear(&out);
	buf_clear(&a);
	assert_int_equal(kong_write_account_key(&out, odd, NULL), 0);
	assert_int_equal(kong_read_account_key(buf_str(&out), &a, NULL), 0);
	assert_true(str_eq(buf_str(&a), odd));
	assert_int_equal(kong_write_account_key(&out, STR("\xff"), NULL), -1);
	buf_deinit(&out);
	buf_deinit(&a);
	buf_deinit(&b);
}

static void read_all(void *arg)
{
	struct buf a = BUF_INIT, b = BUF_INIT;
	struct str uri;
	int64_t at;

	(void)arg;
	(void)!kong_read_certificate(STR("{\"key\":\"K\",\"cert\":\"C\"}"), &a, &b, NULL);
	(void)!kong_read_host(STR("{\"host\":\"a.com\",\"expire_at\":1}"), &a, &at, NULL);
	(void)!kong_account_read(STR(LE ":YUBi"), &uri, &b, NULL);
	(void)!kong_write_certificate(&a, STR("c"), STR("k"), NULL);
	buf_deinit(&a);
	buf_deinit(&b);
}

static void test_no_memory(void **state)
{
	(void)state;
	assert_true(oom_each(read_all, NULL) >= 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys),	   cmocka_unit_test(test_account_names),
		cmocka_unit_test(test_addresses),  cmocka_unit_test(test_values),
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
