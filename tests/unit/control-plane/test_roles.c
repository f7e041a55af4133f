/* Least roles by route and method: every route there is has a row here or falls to the defaults. */
#include "control-plane/admin/roles.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "control-plane/admin/router.h"

static const struct {
	const char *method, *pattern;
	enum role want;
} rows[] = {
	{"GET", "/", ROLE_READER},
	{"HEAD", "/", ROLE_READER},
	{"GET", "/:entity", ROLE_READER},
	{"GET", "/metrics", ROLE_READER},
	{"POST", "/:entity", ROLE_ADMIN},
	{"PUT", "/:entity/:key", ROLE_ADMIN},
	{"PATCH", "/:entity/:key", ROLE_ADMIN},
	{"DELETE", "/:entity/:key", ROLE_ADMIN},
	{"POST", "/:parent/:key/:entity", ROLE_ADMIN},
	{"PATCH", "/:child/:key/:reference", ROLE_ADMIN},
	{"POST", "/status/ready", ROLE_ADMIN},
	{"POST", "/schemas/:entity/validate", ROLE_READER},
	{"POST", "/schemas/plugins/validate", ROLE_READER},
	{"GET", "/acme/orders", ROLE_READER},
	{"POST", "/acme", ROLE_OPERATOR},
	{"PATCH", "/acme", ROLE_OPERATOR},
	{"POST", "/acme/orders/:id/retry", ROLE_OPERATOR},
	{"POST", "/acmes", ROLE_ADMIN},
	{"GET", "/audit", ROLE_OPERATOR},
	{"GET", "/auditing", ROLE_READER},
	{"GET", "/admin/tokens", ROLE_ADMIN},
	{"POST", "/admin/tokens", ROLE_ADMIN},
	{"DELETE", "/admin/tokens/:token", ROLE_ADMIN},
	{"GET", "/admin", ROLE_ADMIN},
	{"GET", "/administration", ROLE_READER},
	{"GET", "/config", ROLE_ADMIN},
	{"POST", "/config", ROLE_ADMIN},
	/* What nobody has thought of may only be done by those who may do everything. */
	{"BREW", "/", ROLE_ADMIN},
	{"get", "/", ROLE_ADMIN},
	{"", "/", ROLE_ADMIN},
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		enum role got = role_needed(str_from(rows[i].method), rows[i].pattern);

		if (got != rows[i].want)
			fail_msg("%s %s: %s", rows[i].method, rows[i].pattern, role_name(got));
	}
}

/* No route writes with less than operator, but for the ones named above that write nothing. */
static void test_every_route_that_writes(void **state)
{
	(void)state;
	for (const struct route *t = admin_routes; t->pattern; t++) {
		const bool writes[] = {t->post != NULL, t->put != NULL, t->patch != NULL,
				       t->del != NULL};
		static const char *const methods[] = {"POST", "PUT", "PATCH", "DELETE"};

		if (str_ends(str_from(t->pattern), STR("/validate")))
			continue;
		for (size_t i = 0; i < array_len(writes); i++)
			if (writes[i] &&
			    role_needed(str_from(methods[i]), t->pattern) < ROLE_OPERATOR)
				fail_msg("%s %s", methods[i], t->pattern);
	}
}

static void test_names(void **state)
{
	static const char *const bad[] = {"", "none", "Admin", "admin ", "root", "readers", "adm"};
	enum role role;
	struct err e = ERR_INIT;

	(void)state;
	for (size_t i = ROLE_READER; i < ROLES; i++) {
		assert_int_equal(role_parse(str_from(role_name((enum role)i)), &role, NULL), 0);
		assert_int_equal(role, i);
	}
	for (size_t i = 0; i < array_len(bad); i++) {
		assert_int_equal(role_parse(str_from(bad[i]), &role, &e), -1);
		assert_string_equal(e.message, "expected one of: reader, operator, admin");
	}
	assert_true(role_takes_keys(ROLE_OPERATOR));
	assert_false(role_takes_keys(ROLE_READER));
	assert_string_equal(role_verb(STR("PUT")), "update");
	assert_string_equal(role_verb(STR("BREW")), "use");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_every_route_that_writes),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
