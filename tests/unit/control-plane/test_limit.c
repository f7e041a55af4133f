/* Budgets: how they are configured, and which one a CA's words name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "control-plane/acme/limit.h"

#define LE "https://acme-v02.api.letsencrypt.org/directory"
#define OTHER "https://ca.example/dir"

struct setting {
	const char *text, *directory;
	enum limit_kind kind;
	double every;
	unsigned burst;
};

static const struct setting settings[] = {
	{"", LE, LIMIT_ACCOUNT, 36, 300},
	{"auto", LE, LIMIT_DOMAIN, 12096, 50},
	{"auto", LE, LIMIT_SET, 120960, 5},
	{"auto", LE, LIMIT_FAILURE, 720, 5},
	{"auto", LE, LIMIT_NEW_ORDER, 1.0 / 300, 200},
	{"auto", OTHER, LIMIT_ACCOUNT, 0, 0},
	{"auto", "https://acme-v02.api.letsencrypt.org.evil.example/", LIMIT_ACCOUNT, 0, 0},
	{"letsencrypt", OTHER, LIMIT_REQUEST, 1.0 / 250, 125},
	{"none", LE, LIMIT_ACCOUNT, 0, 0},
	{"none account=10/1m", LE, LIMIT_ACCOUNT, 6, 10},
	{"auto account=3000/3h", LE, LIMIT_ACCOUNT, 3.6, 3000},
	{"account=0", LE, LIMIT_ACCOUNT, 0, 0},
	{" account=1/1s:7  domain=1/2d", OTHER, LIMIT_ACCOUNT, 1, 7},
	{" account=1/1s:7  domain=1/2d", OTHER, LIMIT_DOMAIN, 172800, 1},
};

static void test_settings(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(settings); i++) {
		const struct setting *s = &settings[i];
		struct limits l;

		assert_int_equal(limits_parse(&l, str_from(s->text), s->directory, NULL), 0);
		if (l.of[s->kind].every_s < s->every * 0.999 ||
		    l.of[s->kind].every_s > s->every * 1.001 || l.of[s->kind].burst != s->burst)
			fail_msg("row %zu: %f %u", i, l.of[s->kind].every_s, l.of[s->kind].burst);
	}
}

static void test_bad_settings(void **state)
{
	static const char *const bad[] = {
		"fast",
		"account",
		"account=",
		"account=x",
		"account=5",
		"account=5/",
		"account=5/h",
		"account=5/3",
		"account=5/0h",
		"account=-5/3h",
		"account=5/3w",
		"account=5/3h:",
		"account=5/3h:0",
		"account=5/3h:x",
		"accounts=5/3h",
		"=5/3h",
		"account=5/9999999d",
		"account=99999999999/1s",
		"none,auto",
		"account =5/3h",
	};

	(void)state;
	for (size_t i = 0; i < array_len(bad); i++) {
		struct limits l = {.of = {{7, 7}}};
		struct err e = ERR_INIT;

		if (limits_parse(&l, str_from(bad[i]), OTHER, &e) != -1)
			fail_msg("%s was taken", bad[i]);
		assert_int_equal(e.kind, ERR_INVALID);
		assert_int_equal(l.of[0].burst, 7);
	}
}

struct detail {
	const char *text;
	bool known;
	enum limit_kind kind;
	const char *value;
	int64_t until;
};

static const struct detail details[] = {
	{"too many new orders (300) from this account in the last 3h0m0s, retry after 2026-08-05 "
	 "12:00:01 UTC: see https://letsencrypt.org/docs/rate-limits/#new-orders-per-account",
	 true, LIMIT_ACCOUNT, "", 1785931201},
	{"too many certificates (50) already issued for \"Example.com\" in the last 168h0m0s, "
	 "retry "
	 "after 2026-08-05 12:00:01 UTC: see https://",
	 true, LIMIT_DOMAIN, "example.com", 1785931201},
	{"too many certificates (5) already issued for this exact set of identifiers in the last "
	 "168h0m0s, retry after 2026-08-05 12:00:01 UTC",
	 true, LIMIT_SET, "", 1785931201},
	{"too many failed authorizations (5) for \"www.example.com\" in the last 1h0m0s, retry "
	 "after 2026-08-05 12:00:01 UTC",
	 true, LIMIT_FAILURE, "www.example.com", 1785931201},
	{"too many new registrations (10) from this IP address in the last 3h0m0s, retry after "
	 "2026-08-05 12:00:01 UTC",
	 true, LIMIT_NEW_ACCOUNT, "", 1785931201},
	{"too many new registrations (500) from this /48 subnet of IPv6 addresses in the last "
	 "3h0m0s, retry after 2026-08-05 12:00:01 UTC",
	 true, LIMIT_NEW_ACCOUNT, "", 1785931201},
	{"too many certificates already issued for: example.com", true, LIMIT_DOMAIN, "", 0},
	{"too many requests from this IP address", true, LIMIT_REQUEST, "", 0},
	{"Service busy; retry later.", false, LIMIT_ACCOUNT, "", 0},
	{"", false, LIMIT_ACCOUNT, "", 0},
	{"too many new orders (1) from this account, retry after 2026-13-05 12:00:01 UTC", true,
	 LIMIT_ACCOUNT, "", 0},
	{"too many new orders (1) from this account, retry after soon", true, LIMIT_ACCOUNT, "", 0},
	{"too many failed authorizations (5) for \"www.example.com", true, LIMIT_FAILURE, "", 0},
};

static void test_details(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(details); i++) {
		const struct detail *d = &details[i];
		struct limit_named n = {.value = ""};

		if (limit_read_detail(&n, str_from(d->text)) != d->known)
			fail_msg("known: %s", d->text);
		assert_int_equal(n.until_s, d->until);
		if (!d->known)
			continue;
		assert_int_equal(n.kind, d->kind);
		assert_string_equal(n.value, d->value);
	}
}

static void test_keys(void **state)
{
	struct buf b = BUF_INIT, name = BUF_INIT;

	(void)state;
	assert_int_equal(limit_key(&b, LIMIT_DOMAIN, STR("a.com"), OTHER, NULL), 0);
	assert_string_equal(b.data, "domain a.com " OTHER);
	buf_clear(&b);
	for (int i = 0; i < 400; i++)
		assert_int_equal(buf_addf(&name, NULL, "%d.example.com ", i), 0);
	assert_int_equal(limit_key(&b, LIMIT_SET, buf_str(&name), OTHER, NULL), 0);
	assert_true(b.len < 100);
	buf_deinit(&b);
	buf_deinit(&name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_settings),
		cmocka_unit_test(test_bad_settings),
		cmocka_unit_test(test_details),
		cmocka_unit_test(test_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
