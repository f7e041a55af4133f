/* From the signal to its scope and the next step: each row of the table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "control-plane/acme/verdict.h"

enum { NEW_ORDER = 1, PROFILE = 2, REPLACES = 4, UNPAUSE = 8, LATE = 16 };

struct row {
	const char *type;
	unsigned status;
	unsigned with;
	enum scope scope;
	enum step step;
};

#define ACME(name) PROBLEM_ACME name
#define OWN(name) PROBLEM_OWN name

static const struct row rows[] = {
	{ACME("badNonce"), 400, 0, SCOPE_NONE, STEP_NEW_NONCE},
	{ACME("accountDoesNotExist"), 400, 0, SCOPE_ACCOUNT, STEP_REGISTER},
	{ACME("userActionRequired"), 403, 0, SCOPE_ACCOUNT, STEP_AGREE},
	{ACME("agreementRequired"), 403, 0, SCOPE_ACCOUNT, STEP_AGREE},
	{ACME("orderNotReady"), 403, 0, SCOPE_ORDER, STEP_REREAD},
	{ACME("unauthorized"), 403, NEW_ORDER | PROFILE, SCOPE_POLICY, STEP_WITHOUT_PROFILE},
	{ACME("unauthorized"), 403, PROFILE, SCOPE_HOST, STEP_QUARANTINE},
	{ACME("unauthorized"), 403, NEW_ORDER, SCOPE_HOST, STEP_QUARANTINE},
	{ACME("invalidProfile"), 400, NEW_ORDER | PROFILE, SCOPE_POLICY, STEP_WITHOUT_PROFILE},
	{ACME("invalidProfile"), 400, NEW_ORDER, SCOPE_POLICY, STEP_FAIL},
	{ACME("alreadyReplaced"), 409, NEW_ORDER | REPLACES, SCOPE_ORDER, STEP_WITHOUT_REPLACES},
	{ACME("malformed"), 409, NEW_ORDER | REPLACES, SCOPE_ORDER, STEP_WITHOUT_REPLACES},
	{ACME("malformed"), 409, NEW_ORDER, SCOPE_ORDER, STEP_RESTART},
	{ACME("rejectedIdentifier"), 400, 0, SCOPE_IDENTIFIER, STEP_DROP},
	{ACME("unsupportedIdentifier"), 400, 0, SCOPE_IDENTIFIER, STEP_DROP},
	{ACME("dns"), 400, 0, SCOPE_HOST, STEP_RESOLVE},
	{ACME("dns"), 400, LATE, SCOPE_HOST, STEP_RESOLVE},
	{ACME("connection"), 400, 0, SCOPE_HOST, STEP_QUARANTINE},
	{ACME("connection"), 400, LATE, SCOPE_FLEET, STEP_RESTART},
	{ACME("tls"), 400, 0, SCOPE_HOST, STEP_QUARANTINE},
	{ACME("tls"), 400, LATE, SCOPE_FLEET, STEP_RESTART},
	{ACME("unauthorized"), 403, 0, SCOPE_HOST, STEP_QUARANTINE},
	{ACME("unauthorized"), 403, LATE, SCOPE_FLEET, STEP_RESTART},
	{ACME("unauthorized"), 401, 0, SCOPE_ACCOUNT, STEP_RETRY},
	{ACME("incorrectResponse"), 403, 0, SCOPE_HOST, STEP_QUARANTINE},
	{ACME("caa"), 403, 0, SCOPE_HOST_AT_CA, STEP_OTHER_CA},
	{ACME("rateLimited"), 429, 0, SCOPE_BUCKET, STEP_BUDGET},
	{ACME("rateLimited"), 429, UNPAUSE, SCOPE_IDENTIFIER_AT_ACCOUNT, STEP_PAUSED},
	{ACME("rateLimited"), 503, 0, SCOPE_ENDPOINT, STEP_RETRY},
	{"about:blank", 429, 0, SCOPE_BUCKET, STEP_BUDGET},
	{OWN("answer"), 429, 0, SCOPE_ENDPOINT, STEP_RETRY},
	{OWN("answer"), 503, 0, SCOPE_ENDPOINT, STEP_RETRY},
	{OWN("answer"), 500, 0, SCOPE_CA, STEP_RETRY},
	{ACME("serverInternal"), 500, 0, SCOPE_CA, STEP_AGAIN},
	{ACME("inventedTomorrow"), 502, 0, SCOPE_CA, STEP_RETRY},
	{"about:blank", 599, 0, SCOPE_CA, STEP_RETRY},
	{"about:blank", 600, 0, SCOPE_ORDER, STEP_RESTART},
	{OWN("connection"), 0, 0, SCOPE_ORDER, STEP_RETRY},
	{OWN("breaker"), 0, 0, SCOPE_CA, STEP_RETRY},
	{OWN("timeout"), 0, 0, SCOPE_ORDER, STEP_RESTART},
	{ACME("alreadyRevoked"), 400, 0, SCOPE_CERTIFICATE, STEP_DONE},
	{ACME("malformed"), 404, 0, SCOPE_ORDER, STEP_RESTART},
	{ACME("malformed"), 400, 0, SCOPE_ORDER, STEP_RESTART},
	{ACME("malformed"), 503, 0, SCOPE_CA, STEP_RETRY},
	{"about:blank", 410, 0, SCOPE_ORDER, STEP_RESTART},
	{"about:blank", 408, 0, SCOPE_ORDER, STEP_RETRY},
	{OWN("gone"), 0, 0, SCOPE_ORDER, STEP_RESTART},
	{OWN("barrier"), 0, 0, SCOPE_FLEET, STEP_RETRY},
	{OWN("terms"), 0, 0, SCOPE_ACCOUNT, STEP_RETRY},
	{OWN("account"), 0, 0, SCOPE_ACCOUNT, STEP_RETRY},
	{OWN("denied"), 0, 0, SCOPE_CA, STEP_RETRY},
	{OWN("certificate"), 0, 0, SCOPE_ORDER, STEP_FAIL},
	{OWN("sni"), 0, 0, SCOPE_ORDER, STEP_FAIL},
	{OWN("challenge"), 0, 0, SCOPE_ORDER, STEP_FAIL},
	{OWN("answer"), 404, 0, SCOPE_ORDER, STEP_RESTART},
	{OWN("answer"), 200, 0, SCOPE_ORDER, STEP_RETRY},
	{ACME("externalAccountRequired"), 403, 0, SCOPE_ACCOUNT, STEP_RETRY},
	{ACME("badCSR"), 400, 0, SCOPE_ORDER, STEP_FAIL},
	{ACME("inventedTomorrow"), 400, 0, SCOPE_ORDER, STEP_RESTART},
	{ACME("badnonce"), 400, 0, SCOPE_ORDER, STEP_RESTART},
	{"", 0, 0, SCOPE_ORDER, STEP_RESTART},
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		const struct row *r = &rows[i];
		struct problem p = {.status = r->status};
		const struct signal s = {.problem = &p,
					 .new_order = r->with & NEW_ORDER,
					 .profile = r->with & PROFILE,
					 .replaces = r->with & REPLACES,
					 .unpause = r->with & UNPAUSE,
					 .late = r->with & LATE};
		const struct verdict *v;

		snprintf(p.type, sizeof(p.type), "%s", r->type);
		v = verdict(&s);
		if (v->scope != r->scope || v->step != r->step)
			fail_msg("%s %u: %s, %s", r->type, r->status, scope_name(v->scope),
				 step_name(v->step));
		assert_true(v->pace.base_ms >= 1000 && v->pace.cap_ms >= v->pace.base_ms);
		assert_true(v->pace.factor >= 2);
	}
}

static void test_names(void **state)
{
	(void)state;
	for (unsigned s = 0; s < SCOPES; s++)
		assert_non_null(scope_name((enum scope)s));
	for (unsigned s = 0; s < STEPS; s++)
		assert_non_null(step_name((enum step)s));
	assert_string_equal(scope_name(SCOPES), "?");
	assert_string_equal(step_name(STEPS), "?");
}

static void test_quarantine(void **state)
{
	static const uint64_t minutes[] = {1, 1, 10, 100, 1440, 1440, 1440};

	(void)state;
	for (unsigned n = 0; n < array_len(minutes); n++) {
		assert_int_equal(quarantine_ms(n, 0), minutes[n] * 60000);
		assert_int_equal(quarantine_ms(n, 0.5), minutes[n] * 63000);
	}
	assert_int_equal(quarantine_ms(UINT32_MAX, 0), UINT64_C(1440) * 60000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_quarantine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
