/* sync/client_conf: addresses of control planes, labels. */
#include "data-plane/sync/client_conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/lib/oom.h"

static void test_addresses(void **state)
{
	static const struct {
		const char *text;
		size_t count; /* 0: refused */
		const char *last;
		unsigned port;
	} rows[] = {
		{"cp.example:8005", 1, "cp.example", 8005},
		{"a:1, 192.0.2.1:2 ,[2001:db8::1]:3", 3, "2001:db8::1", 3},
		{"", 0, NULL, 0},
		{",", 0, NULL, 0},
		{"a", 0, NULL, 0},
		{"a:", 0, NULL, 0},
		{"a:b", 0, NULL, 0},
		{"a:1,", 1, "a", 1},
		{"a:1,,b:2", 0, NULL, 0},
		{"a:65536", 0, NULL, 0},
		{":1", 0, NULL, 0},
		{"a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1", 0, NULL, 0},
	};
	struct sync_addresses a;

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct err e = ERR_INIT;
		int rc = sync_addresses_parse(&a, rows[i].text, &e);

		if ((rc == 0) != (rows[i].count > 0))
			fail_msg("%s: %s", rows[i].text, e.message);
		if (rc != 0) {
			assert_int_equal(e.kind, ERR_INVALID);
			assert_non_null(strstr(e.message, "cluster_control_plane"));
			continue;
		}
		assert_int_equal(a.count, rows[i].count);
		assert_string_equal(a.items[a.count - 1].host, rows[i].last);
		assert_int_equal(a.items[a.count - 1].port, rows[i].port);
	}
}

static void test_labels(void **state)
{
	static const struct {
		const char *text;
		int count;		  /* -1: refused */
		const char *name, *value; /* of the last */
	} rows[] = {
		{NULL, 0, NULL, NULL},	   {"", 0, NULL, NULL},	     {"a=b", 1, "a", "b"},
		{"a=b,c=d", 2, "c", "d"},  {"a=", 1, "a", ""},	     {"a=b=c", 1, "a", "b=c"},
		{"a=b,", 1, "a", "b"},	   {"a", -1, NULL, NULL},    {"=b", -1, NULL, NULL},
		{"a=b,c", -1, NULL, NULL}, {",a=b", -1, NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct sync_labels l;
		struct err e = ERR_INIT;
		int rc = sync_labels_parse(&l, rows[i].text, &e);

		if ((rc == 0 ? (int)l.count : -1) != rows[i].count)
			fail_msg("%s: %s", rows[i].text, e.message);
		if (rc == 0 && l.count > 0) {
			assert_string_equal(l.names[l.count - 1], rows[i].name);
			assert_string_equal(l.values[l.count - 1], rows[i].value);
		}
		sync_labels_deinit(&l);
	}
}

static void test_too_many_labels(void **state)
{
	char text[SYNC_LABELS_MAX * 4 + 8] = "";
	struct sync_labels l;
	struct err e = ERR_INIT;

	(void)state;
	for (size_t i = 0; i <= SYNC_LABELS_MAX; i++)
		memcpy(text + 4 * i, "a=b,", 5);
	assert_int_equal(sync_labels_parse(&l, text, &e), -1);
	assert_non_null(strstr(e.message, "node_labels"));
	sync_labels_deinit(&l);
}

static void scenario(void *arg)
{
	struct sync_labels l;
	struct err e = ERR_INIT;

	(void)arg;
	if (sync_labels_parse(&l, "a=b", &e) != 0)
		assert_int_equal(e.kind, ERR_MEMORY);
	sync_labels_deinit(&l);
}

static void test_no_memory(void **state)
{
	(void)state;
	assert_true(oom_each(scenario, NULL) >= 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_labels),
		cmocka_unit_test(test_too_many_labels),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
