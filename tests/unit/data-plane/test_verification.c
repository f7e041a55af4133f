/* sync/verification: which changes a data plane with tls_certificate_verify refuses. */
#include "data-plane/sync/verification.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "data-plane/tables/fields.h"
#include "tests/unit/lib/testentity.h"

static void test_rows(void **state)
{
	static const struct {
		enum change_kind kind;
		const char *fields, *why; /* NULL: taken */
	} rows[] = {
		{CHANGE_SERVICE, "protocol=https tls_verify=!no",
		 "tls_verify: false is not allowed with tls_certificate_verify"},
		{CHANGE_SERVICE, "protocol=tls tls_verify=!no",
		 "tls_verify: false is not allowed with tls_certificate_verify"},
		{CHANGE_UPSTREAM, "healthchecks={active:{https_verify_certificate:!no}}",
		 "healthchecks.active.https_verify_certificate: false is not allowed with "
		 "tls_certificate_verify"},
		{CHANGE_PLUGIN, "name=mtls-auth config={ssl_verify:!no}",
		 "config.ssl_verify: false is not allowed with tls_certificate_verify"},
		{CHANGE_SERVICE, "protocol=https tls_verify=!", NULL},
		{CHANGE_SERVICE, "protocol=https", NULL},
		{CHANGE_SERVICE, "protocol=http", NULL},
		{CHANGE_UPSTREAM, "healthchecks={active:{https_verify_certificate:!}}", NULL},
		{CHANGE_UPSTREAM, "name=u", NULL},
		{CHANGE_PLUGIN, "name=mtls-auth config={ssl_verify:!}", NULL},
		{CHANGE_PLUGIN, "name=ssl", NULL},
		{CHANGE_CONSUMER, "tls_verify=!no", NULL},
		{CHANGE_TARGET, "", NULL},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct change c = {.kind = rows[i].kind};
		struct err e = ERR_INIT;
		struct arena a;

		arena_init(&a, 0);
		c.u.fields = fields_of(testentity_record(&a, rows[i].fields));
		assert_int_equal(verification_check(&c, &e), rows[i].why ? -1 : 0);
		assert_string_equal(e.message, rows[i].why ? rows[i].why : "");
		arena_deinit(&a);
	}
}

/* A certificate's change has other parts in place of fields. */
static void test_other_kinds(void **state)
{
	struct change c = {.kind = CHANGE_CERTIFICATE};
	struct err e = ERR_INIT;

	(void)state;
	c.u.certificate.count = 1;
	assert_int_equal(verification_check(&c, &e), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_other_kinds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
