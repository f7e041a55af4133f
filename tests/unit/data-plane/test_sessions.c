/* tls/sessions: what is found again, when it goes, and how much is kept. */
#include "data-plane/tls/sessions.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/lib/oom.h"

static struct tls_sessions sessions;
static struct addr here, there, other_port;

static int setup(void **state)
{
	(void)state;
	tls_sessions_init(&sessions, 3);
	assert_int_equal(addr_parse(&here, STR("192.0.2.1:443"), NULL), 0);
	assert_int_equal(addr_parse(&other_port, STR("192.0.2.1:8443"), NULL), 0);
	assert_int_equal(addr_parse(&there, STR("[2001:db8::1]:443"), NULL), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	tls_sessions_deinit(&sessions);
	return 0;
}

static SSL_SESSION *make(int version, unsigned char id, long timeout)
{
	SSL_SESSION *s = SSL_SESSION_new();

	assert_non_null(s);
	assert_int_equal(SSL_SESSION_set_protocol_version(s, version), 1);
	if (id)
		assert_int_equal(SSL_SESSION_set1_id(s, &id, 1), 1);
	SSL_SESSION_set_timeout(s, timeout);
	return s;
}

static void put(const char *identity, const struct addr *addr, int version, unsigned char id,
		int64_t until)
{
	SSL_SESSION *s = make(version, id, 300);

	tls_sessions_put(&sessions, str_from(identity), addr, s, 1000, until);
	SSL_SESSION_free(s);
}

/* The id of what is taken; 0: nothing. */
static unsigned take(const char *identity, const struct addr *addr, int64_t now)
{
	int64_t until = 0;
	SSL_SESSION *s = tls_sessions_take(&sessions, str_from(identity), addr, now, &until);
	unsigned len, id = s ? SSL_SESSION_get_id(s, &len)[0] : 0;

	assert_true(!s || until > now);
	SSL_SESSION_free(s);
	return id;
}

static void test_once_in_tls13(void **state)
{
	(void)state;
	put("a", &here, TLS1_3_VERSION, 1, 5000);
	put("a", &here, TLS1_3_VERSION, 2, 5000);
	assert_int_equal(take("a", &here, 1001), 2);
	assert_int_equal(take("a", &here, 1001), 1);
	assert_int_equal(take("a", &here, 1001), 0);
	assert_int_equal(tls_sessions_count(&sessions), 0);
}

static void test_again_in_tls12(void **state)
{
	(void)state;
	put("a", &here, TLS1_2_VERSION, 1, 5000);
	for (int i = 0; i < 3; i++)
		assert_int_equal(take("a", &here, 1001), 1);
	tls_sessions_forget(&sessions, STR("a"), &here);
	tls_sessions_forget(&sessions, STR("a"), &here);
	assert_int_equal(take("a", &here, 1001), 0);
}

/* Neither elsewhere nor for somebody else. */
static void test_under_nothing_else(void **state)
{
	(void)state;
	put("a", &here, TLS1_2_VERSION, 1, 5000);
	assert_int_equal(take("b", &here, 1001), 0);
	assert_int_equal(take("", &here, 1001), 0);
	assert_int_equal(take("aa", &here, 1001), 0);
	assert_int_equal(take("a", &there, 1001), 0);
	assert_int_equal(take("a", &other_port, 1001), 0);
	assert_int_equal(take("a", &here, 1001), 1);
}

static void test_ends(void **state)
{
	SSL_SESSION *s = make(TLS1_3_VERSION, 9, 100 * 3600);

	(void)state;
	put("a", &here, TLS1_2_VERSION, 1, 1100); /* what was verified ends */
	assert_int_equal(take("a", &here, 1099), 1);
	assert_int_equal(take("a", &here, 1100), 0);
	put("a", &here, TLS1_2_VERSION, 2, 5000); /* the ticket does, after 300 s */
	assert_int_equal(take("a", &here, 1299), 2);
	assert_int_equal(take("a", &here, 1300), 0);
	assert_int_equal(tls_sessions_count(&sessions), 0);
	put("a", &here, TLS1_2_VERSION, 3, 1000); /* had ended before */
	put("a", &here, TLS1_2_VERSION, 0, 5000); /* cannot be resumed */
	assert_int_equal(tls_sessions_count(&sessions), 0);
	/* However long the ticket is said to be good. */
	tls_sessions_put(&sessions, STR("a"), &here, s, 1000, INT64_MAX);
	assert_int_equal(take("a", &here, 1000 + SESSIONS_MAX_SECONDS), 0);
	SSL_SESSION_free(s);
}

/* An older one is still good where the newest has ended. */
static void test_older_ones(void **state)
{
	(void)state;
	put("a", &here, TLS1_3_VERSION, 1, 5000);
	put("a", &here, TLS1_3_VERSION, 2, 1010);
	assert_int_equal(take("a", &here, 1020), 1);
}

static void test_bounds(void **state)
{
	(void)state;
	for (unsigned i = 1; i <= SESSIONS_EACH + 2; i++)
		put("a", &here, TLS1_3_VERSION, (unsigned char)i, 5000);
	for (unsigned i = SESSIONS_EACH + 2; i > 2; i--)
		assert_int_equal(take("a", &here, 1001), i);
	assert_int_equal(take("a", &here, 1001), 0);
	assert_int_equal(sessions.evicted, 0);
	put("a", &here, TLS1_2_VERSION, 1, 5000);
	put("b", &here, TLS1_2_VERSION, 2, 5000);
	put("c", &here, TLS1_2_VERSION, 3, 5000);
	assert_int_equal(take("a", &here, 1001), 1); /* now b is the one used longest ago */
	put("d", &here, TLS1_2_VERSION, 4, 5000);
	assert_int_equal(tls_sessions_count(&sessions), 3);
	assert_int_equal(sessions.evicted, 1);
	assert_int_equal(take("b", &here, 1001), 0);
	assert_int_equal(take("a", &here, 1001), 1);
	assert_int_equal(take("d", &here, 1001), 4);
	tls_sessions_deinit(&sessions);
	tls_sessions_init(&sessions, 0);
	put("a", &here, TLS1_2_VERSION, 1, 5000);
	assert_int_equal(tls_sessions_count(&sessions), 0);
}

static void put_and_take(void *arg)
{
	struct tls_sessions own;
	int64_t until;

	tls_sessions_init(&own, 1);
	tls_sessions_put(&own, STR("a"), &here, arg, 1000, 5000);
	SSL_SESSION_free(tls_sessions_take(&own, STR("a"), &here, 1001, &until));
	tls_sessions_put(&own, STR("b"), &here, arg, 1000, 5000);
	tls_sessions_deinit(&own);
}

static void test_out_of_memory(void **state)
{
	SSL_SESSION *s = make(TLS1_2_VERSION, 1, 300);

	(void)state;
	oom_each(put_and_take, s);
	SSL_SESSION_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_once_in_tls13), T(test_again_in_tls12), T(test_under_nothing_else),
		T(test_ends),	       T(test_older_ones),     T(test_bounds),
		T(test_out_of_memory),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
