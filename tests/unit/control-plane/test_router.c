/* Paths and methods of the admin API. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>
#include <string.h>

#include "control-plane/admin/router.h"

struct row {
	const char *method, *path;
	enum router_verdict want;
	const char *entity, *key, *parent_key;
};

static const struct row rows[] = {
	{"GET", "/", ROUTER_FOUND, NULL, NULL, NULL},
	{"HEAD", "/", ROUTER_FOUND, NULL, NULL, NULL},
	{"GET", "/status", ROUTER_FOUND, NULL, NULL, NULL},
	{"GET", "/status/", ROUTER_FOUND, NULL, NULL, NULL},
	{"GET", "/default", ROUTER_FOUND, NULL, NULL, NULL},
	{"GET", "/default/status", ROUTER_FOUND, NULL, NULL, NULL},
	{"POST", "/certificates", ROUTER_FOUND, "certificates", NULL, NULL},
	{"GET", "/default/certificates", ROUTER_FOUND, "certificates", NULL, NULL},
	{"GET", "/certificates/a.com", ROUTER_FOUND, "certificates", "a.com", NULL},
	{"GET", "/certificates/%2A.a.com", ROUTER_FOUND, "certificates", "*.a.com", NULL},
	{"GET", "/certificates/a.com/snis", ROUTER_FOUND, "snis", NULL, "a.com"},
	{"PATCH", "/certificates/a.com/snis/b.com", ROUTER_FOUND, "snis", "b.com", "a.com"},
	{"POST", "/mtls-auths", ROUTER_FOUND, "mtls_auth_credentials", NULL, NULL},
	{"PATCH", "/mtls-auths/x", ROUTER_FOUND, "mtls_auth_credentials", "x", NULL},
	{"POST", "/consumers/bob/mtls-auth", ROUTER_FOUND, "mtls_auth_credentials", NULL, "bob"},
	{"GET", "/consumers/bob/mtls-auths/x", ROUTER_FOUND, "mtls_auth_credentials", "x", "bob"},
	{"GET", "/mtls-auths/x/consumer", ROUTER_FOUND, "consumers", NULL, NULL},
	{"GET", "/mtls-auth", ROUTER_NO_PATH, NULL, NULL, NULL},
	{"POST", "/header-cert-auths", ROUTER_FOUND, "header_cert_auth_credentials", NULL, NULL},
	{"POST", "/consumers/bob/header-cert-auth", ROUTER_FOUND, "header_cert_auth_credentials",
	 NULL, "bob"},
	{"GET", "/header-cert-auth", ROUTER_NO_PATH, NULL, NULL, NULL},
	{"GET", "/mtls_auth_credentials", ROUTER_NO_PATH, NULL, NULL, NULL},
	{"GET", "/services/a/mtls-auth", ROUTER_NO_PATH, NULL, NULL, NULL},
	{"OPTIONS", "/snis", ROUTER_OPTIONS, "snis", NULL, NULL},
	{"OPTIONS", "/nothing", ROUTER_NO_PATH, NULL, NULL, NULL},
	{"DELETE", "/snis", ROUTER_NO_METHOD, "snis", NULL, NULL},
	{"POST", "/snis/a.com", ROUTER_NO_METHOD, "snis", "a.com", NULL},
	{"POST", "/", ROUTER_NO_METHOD, NULL, NULL, NULL},
	{"get", "/", ROUTER_NO_METHOD, NULL, NULL, NULL},
	{"BREW", "/snis", ROUTER_NO_METHOD, "snis", NULL, NULL},
	{"GET", "", ROUTER_NO_PATH, NULL, NULL, NULL},
	{"GET", "*", ROUTER_NO_PATH, NULL, NULL, NULL},
	{"GET", "snis", ROUTER_NO_PATH, NULL, NULL, NULL},
	{"GET", "//", ROUTER_NO_PATH, NULL, NULL, NULL},
	{"GET", "//snis", ROUTER_NO_PATH, NULL, NULL, NULL},
	{"GET", "/snis//", ROUTER_NO_PATH, NULL, NULL, NULL},
	{"GET", "/snis/a.com/certificate", ROUTER_NO_PATH, NULL, NULL, NULL},
	{"GET", "/snis/a.com/certificates", ROUTER_NO_PATH, NULL, NULL, NULL},
	{"GET", "/certificates/a/snis/b/c", ROUTER_NO_PATH, NULL, NULL, NULL},
	{"GET", "/apis", ROUTER_FOUND, NULL, NULL, NULL},
	{"PUT", "/apis/", ROUTER_FOUND, NULL, NULL, NULL},
	{"DELETE", "/apis/a", ROUTER_FOUND, NULL, NULL, NULL},
	{"POST", "/default/apis/a/plugins", ROUTER_FOUND, NULL, NULL, NULL},
	{"PATCH", "/apis/a/plugins/b", ROUTER_FOUND, NULL, NULL, NULL},
	{"DELETE", "/apis", ROUTER_NO_METHOD, NULL, NULL, NULL},
	{"PUT", "/apis/a/plugins/b", ROUTER_NO_METHOD, NULL, NULL, NULL},
	{"GET", "/apis/a/routes", ROUTER_NO_PATH, NULL, NULL, NULL},
	{"GET", "/apis/a/plugins/b/c", ROUTER_NO_PATH, NULL, NULL, NULL},
	{"GET", "/acme_challenges", ROUTER_NO_PATH, NULL, NULL, NULL},
	{"GET", "/ticket_secrets", ROUTER_NO_PATH, NULL, NULL, NULL},
	{"GET", "/certificates/%", ROUTER_NO_PATH, NULL, NULL, NULL},
	{"GET", "/certificates/%zz", ROUTER_NO_PATH, NULL, NULL, NULL},
	{"GET", "/certificates/%00", ROUTER_NO_PATH, NULL, NULL, NULL},
	{"GET", "/1/2/3/4/5/6/7/8/9/10", ROUTER_NO_PATH, NULL, NULL, NULL},
	{"GET", "/Certificates", ROUTER_NO_PATH, NULL, NULL, NULL},
};

static void check_text(struct str got, const char *want)
{
	assert_true(str_eq(got, str_from(want)));
}

static void check_row(const struct row *row)
{
	struct admin_request r = {0};
	struct http_request q = {.method = str_from(row->method), .path = str_from(row->path)};
	const struct route *route = NULL;
	struct arena a;
	enum router_verdict got;

	arena_init(&a, 0);
	got = router_find(&r, &q, &a, &route);
	if (got != row->want)
		print_error("%s %s: %d instead of %d\n", row->method, row->path, (int)got,
			    (int)row->want);
	assert_int_equal(got, row->want);
	if (got != ROUTER_NO_PATH) {
		assert_non_null(route);
		if (row->entity)
			assert_string_equal(r.entity->name, row->entity);
		else
			assert_null(r.entity);
		check_text(r.key, row->key);
		check_text(r.parent_key, row->parent_key);
	}
	assert_true((got == ROUTER_FOUND) == (r.handler != NULL));
	arena_deinit(&a);
}

static void test_find(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(rows); i++)
		check_row(&rows[i]);
}

/* kong-admin-api.md 1.2, exact lists */
static void test_allowed(void **state)
{
	static const struct {
		const char *path, *want;
	} lists[] = {
		{"/", "GET, HEAD, OPTIONS"},
		{"/certificates", "GET, HEAD, OPTIONS, POST"},
		{"/certificates/x", "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"},
		{"/acme", "OPTIONS, PATCH, POST"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(lists); i++) {
		struct admin_request r = {0};
		struct http_request q = {.method = STR("OPTIONS"), .path = str_from(lists[i].path)};
		const struct route *route = NULL;
		struct arena a;

		arena_init(&a, 0);
		assert_int_equal(router_find(&r, &q, &a, &route), ROUTER_OPTIONS);
		check_text(router_allowed(route, &a), lists[i].want);
		arena_deinit(&a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_allowed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
