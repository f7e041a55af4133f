/* Names of snis: Kong's wildcard_host. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/core/str.h"
#include "control-plane/model/entity.h"

#define L63 "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff123"
#define L253                                                                                       \
	L63 "." L63 "." L63 "."                                                                    \
	    "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff1"

static const struct {
	const char *name;
	const char *want; /* NULL: fine */
} rows[] = {
	{"a.com", NULL},
	{"A.Com", NULL},
	{"valid.name", NULL},
	{"bar.foo.valid.name", NULL},
	{"localhost", NULL},
	{"x_y.example", NULL},
	{"xn--bcher-kva.example", NULL},
	{"*", NULL},
	{"*.wildcard.com", NULL},
	{"*foo.com", NULL},
	{"wildcard.*", NULL},
	{"foo.test.wildcard.*", NULL},
	{"1.2.3.4.example", NULL},
	{L63 ".com", NULL},
	{L253, NULL},
	{"foo.*.com", "wildcard must be leftmost or rightmost character"},
	{"a.exam*le.com", "wildcard must be leftmost or rightmost character"},
	{"*.example.*", "only one wildcard must be specified"},
	{"*.*.wildcard.*", "only one wildcard must be specified"},
	{"*.exam*le.com", "only one wildcard must be specified"},
	{"127.0.0.1", "must not be an IP"},
	{"127.0.0.1:443", "must not be an IP"},
	{"::1", "must not be an IP"},
	{"[2001:db8::1]", "must not be an IP"},
	{"[2001:db8::1]:443", "must not be an IP"},
	{"a.com:80", "must not have a port"},
	{"*.a.com:8000", "must not have a port"},
	{"wildcard.*:80", "wildcard must be leftmost or rightmost character"},
	{"a.com:http", "invalid value: a.com:http"},
	{"a.com:", "invalid value: a.com:"},
	{"a..com", "invalid value: a..com"},
	{".a.com", "invalid value: .a.com"},
	{"a.com.", "invalid value: a.com."},
	{"-a.com", "invalid value: -a.com"},
	{"a-.com", "invalid value: a-.com"},
	{"a b.com", "invalid value: a b.com"},
	{"a.com/x", "invalid value: a.com/x"},
	{"b\u00fccher.example", "invalid value: b\u00fccher.example"},
	{L63 "4.com", "invalid value: " L63 "4.com"},
	{"1" L253, "invalid value: 1" L253},
	{"", "length must be at least 1"},
};

static void test_names(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		json_t *input = json_pack("{s:s, s:{s:s}}", "name", rows[i].name, "certificate",
					  "id", "5f4f2a0e-0000-4000-8000-00000000000a");
		struct violations v;
		const char *text;
		json_t *row;

		violations_init(&v);
		row = entity_create(&entity_snis, input, 1, &v);
		text = json_string_value(json_object_get(v.fields, "name"));
		if (!text != !rows[i].want || (text && strcmp(text, rows[i].want) != 0))
			fail_msg("%s: %s", rows[i].name, text ? text : "taken");
		assert_int_equal(!row, !!rows[i].want);
		json_decref(row);
		json_decref(input);
		violations_deinit(&v);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_names)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
