/* conn over loopback sockets: both ends are conns, on one loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/lib/conn_pair.h"

static void say(struct end *n, const char *text)
{
	conn_write(n->conn, str_from(text));
}

static void test_echo(void **state)
{
	const struct pair_options kinds[] = {{.tls = false}, {.tls = true}};

	(void)state;
	for (size_t i = 0; i < array_len(kinds); i++) {
		struct pair p;

		pair_open(&p, &kinds[i]);
		say(&p.client, "hello");
		run_until(&p.f, p.server.got.len == 5);
		assert_string_equal(p.server.got.data, "hello");
		say(&p.server, "to you");
		run_until(&p.f, p.client.got.len == 6);
		assert_string_equal(p.client.got.data, "to you");
		conn_shutdown(p.client.conn);
		run_until(&p.f, p.client.closed && p.server.closed);
		assert_int_equal(p.client.why.kind, ERR_NONE);
		assert_int_equal(p.server.why.kind, ERR_NONE);
		pair_deinit(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_echo),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
