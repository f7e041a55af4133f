/* Whether an answer shows a record, and which texts are names. What is asked of servers:
 * tests/integration/test_dns01.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "control-plane/acme/dns_zone.h"

static ldns_pkt *answer_of(const char *const *records)
{
	ldns_pkt *p = ldns_pkt_new();

	for (; *records; records++) {
		ldns_rr *rr = NULL;

		assert_int_equal(ldns_rr_new_frm_str(&rr, *records, 0, NULL, NULL), LDNS_STATUS_OK);
		assert_true(ldns_pkt_push_rr(p, LDNS_SECTION_ANSWER, rr));
	}
	return p;
}

static void test_shown(void **state)
{
	static const struct {
		const char *records[4];
		bool shown;
	} rows[] = {
		{{"_a.example. 5 IN TXT \"value\""}, true},
		{{"_A.Example. 5 IN TXT \"value\""}, true},
		{{"_a.example. 5 IN TXT \"val\" \"ue\""}, true},
		{{"_a.example. 5 IN TXT \"other\"", "_a.example. 5 IN TXT \"value\""}, true},
		{{NULL}, false},
		{{"_a.example. 5 IN TXT \"\""}, false},
		{{"_a.example. 5 IN TXT \"valu\""}, false},
		{{"_a.example. 5 IN TXT \"value2\""}, false},
		{{"_a.example. 5 IN TXT \"VALUE\""}, false},
		{{"_a.example. 5 IN TXT \"value\" \"2\""}, false},
		{{"_b.example. 5 IN TXT \"value\""}, false},
		{{"_a.example. 5 IN CNAME value."}, false},
	};
	ldns_rdf *name = ldns_dname_new_frm_str("_a.example");

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		ldns_pkt *p = answer_of(rows[i].records);

		if (dns_answer_has_txt(p, name, STR("value")) != rows[i].shown)
			fail_msg("row %zu", i);
		ldns_pkt_free(p);
	}
	ldns_rdf_deep_free(name);
}

static void test_names(void **state)
{
	static const char *const good[] = {
		"", "example.com", "example.com.", "_acme-challenge.a", "key", "a\\.b.example"};
	static const char *const bad[] = {
		"a..b", ".a", "a\\", "a\\999.b",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example"};
	char long_name[300];
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(dns_name_check(NULL, NULL), 0);
	for (size_t i = 0; i < array_len(good); i++)
		if (dns_name_check(good[i], &e) != 0)
			fail_msg("%s: %s", good[i], e.message);
	for (size_t i = 0; i < array_len(bad); i++)
		if (dns_name_check(bad[i], &e) == 0)
			fail_msg("accepted: %s", bad[i]);
	for (size_t i = 0; i < sizeof(long_name); i++)
		long_name[i] = i % 50 == 49 ? '.' : 'a';
	long_name[sizeof(long_name) - 1] = '\0';
	assert_int_equal(dns_name_check(long_name, &e), -1);
}

/* Nobody listens there. */
static void test_nobody(void **state)
{
	struct dns_asked asked = {.resolver_given = true, .timeout_ms = 200, .port = 1};
	struct dns_place place = {.name = "_a.example", .zone = "example"};
	char who[ADDR_TEXT_SIZE] = "";
	bool shown = true;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(addr_parse(&asked.resolver, STR("127.0.0.1:1"), NULL), 0);
	assert_int_equal(dns_place_find(&place, "_a.example", NULL, &asked, &e), -1);
	assert_int_equal(e.kind, ERR_UNAVAILABLE);
	assert_int_equal(dns_place_find(&place, "a..b", NULL, &asked, &e), -1);
	for (int only = 0; only < 2; only++) {
		asked.resolver_only = only == 1;
		snprintf(place.zone, sizeof(place.zone), "example");
		assert_int_equal(dns_place_shows(&place, "v", &asked, &shown, who, &e), -1);
		assert_false(shown);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shown),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
