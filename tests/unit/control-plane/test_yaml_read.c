/* YAML to JSON values. */
#include "control-plane/model/yaml_read.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct yaml_limits limits = {.depth = 8, .aliased = 100};

/* want: JSON, or the error behind "!". */
static const struct {
	const char *text, *want;
} rows[] = {
	{"", "null"},
	{"# nothing", "null"},
	{"~", "null"},
	{"a: 1", "{\"a\":1}"},
	{"a: -1", "{\"a\":-1}"},
	{"a: 0", "{\"a\":0}"},
	{"a: 010", "{\"a\":8}"},
	{"a: 089", "{\"a\":\"089\"}"},
	{"a: 0x1F", "{\"a\":31}"},
	{"a: 0x", "{\"a\":\"0x\"}"},
	{"a: 0b101", "{\"a\":5}"},
	{"a: 1_000", "{\"a\":1000}"},
	{"a: 1.5", "{\"a\":1.5}"},
	{"a: .5", "{\"a\":0.5}"},
	{"a: 1e3", "{\"a\":1000.0}"},
	{"a: 1e", "{\"a\":\"1e\"}"},
	{"a: .", "{\"a\":\".\"}"},
	{"a: -", "!1:4: block sequence entries are not allowed in this context"},
	{"a: 1.2.3.4", "{\"a\":\"1.2.3.4\"}"},
	{"a: 1-2", "{\"a\":\"1-2\"}"},
	{"a: 9223372036854775807", "{\"a\":9223372036854775807}"},
	{"a: 9223372036854775808", "{\"a\":9223372036854775808.0}"},
	{"a: .inf", "{\"a\":\".inf\"}"},
	{"a: 1e999", "{\"a\":\"1e999\"}"},
	{"a: 2001-01-01", "{\"a\":\"2001-01-01\"}"},
	{"a: 3f2504e0-4f89-41d3-9a0c-0305e82c3301",
	 "{\"a\":\"3f2504e0-4f89-41d3-9a0c-0305e82c3301\"}"},
	{"a: yes\nb: Off\nc: TRUE\nd: y", "{\"a\":true,\"b\":false,\"c\":true,\"d\":\"y\"}"},
	{"a: 'yes'\nb: \"1\"\nc: !!str 1\nd: ! 1",
	 "{\"a\":\"yes\",\"b\":\"1\",\"c\":\"1\",\"d\":\"1\"}"},
	{"a: !!int 12", "{\"a\":12}"},
	{"a:\n- 1\n- [x, {y: z}]\n", "{\"a\":[1,[\"x\",{\"y\":\"z\"}]]}"},
	{"a: |\n  x\n  y\nb: >\n  x\n  y\n", "{\"a\":\"x\\ny\\n\",\"b\":\"x y\\n\"}"},
	{"{\"a\": [1, null, true]}", "{\"a\":[1,null,true]}"},
	{"1: a\ntrue: b", "{\"1\":\"a\",\"true\":\"b\"}"},
	{"---\na: 1\n...\n", "{\"a\":1}"},
	{"a: &x [1]\nb: *x", "{\"a\":[1],\"b\":[1]}"},
	{"a: &x {p: 1, q: 2}\nb: {<<: *x, q: 3}",
	 "{\"a\":{\"p\":1,\"q\":2},\"b\":{\"q\":3,\"p\":1}}"},
	{"a: &x {p: 1}\nb: &y {p: 2, q: 2}\nc: {<<: [*x, *y]}",
	 "{\"a\":{\"p\":1},\"b\":{\"p\":2,\"q\":2},\"c\":{\"p\":1,\"q\":2}}"},
	{"[[[[[[[[1]]]]]]]]", "[[[[[[[[1]]]]]]]]"},
	/* What is refused. */
	{"a: 1\na: 2", "!2:1: duplicate key"},
	{"{\"a\":1,\"a\":1}", "!1:8: duplicate key"},
	{"[[[[[[[[[1]]]]]]]]]", "!1:9: nested too deeply"},
	{"a: {b: {c: {d: {e: {f: {g: {h: {}}}}}}}}", "!1:32: nested too deeply"},
	{"a: *x", "!1:4: unknown anchor"},
	{"a: &x [*x]", "!1:8: unknown anchor"},
	{"a: 1\n--- \nb: 2", "!2:1: a second document"},
	{"? [a]\n: b", "!1:3: a key that is no text"},
	{"a: \"x\\0y\"", "!1:4: NUL in a text"},
	{"\"x\\0y\": a", "!1:1: NUL in a key"},
	{"a: !!binary aGk=", "!1:4: a tag of another type"},
	{"a: !mine b", "!1:4: a tag of another type"},
	{"a: {<<: 1}", "!1:5: only mappings can be merged"},
	{"a: {<<: [1]}", "!1:5: only mappings can be merged"},
	{"a: [", "!2:1: did not find expected node content"},
	{"a: b: c", "!1:5: mapping values are not allowed in this context"},
	{"\ta: b", "!1:1: found character that cannot start any token"},
	{"a: 'x", "!1:6: found unexpected end of stream"},
	{"a: \xff", "!byte 3: invalid leading UTF-8 octet"},
	{"a: \x01", "!byte 3: control characters are not allowed"},
	{"}", "!1:1: did not find expected node content"},
	/* Ten values ten times ten times. */
	{"a: &a [1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a]\nc: &c [*b,*b,*b]\nd: [*c]",
	 "!3:14: aliases stand for too many values"},
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct err e = ERR_INIT;
		json_t *got, *want = NULL;
		int rc = yaml_read(&got, str_from(rows[i].text), &limits, &e);

		if (rows[i].want[0] == '!') {
			if (rc == 0 || strcmp(e.message, rows[i].want + 1) != 0)
				fail_msg("%s: %s", rows[i].text, rc == 0 ? "accepted" : e.message);
			assert_int_equal(e.kind, ERR_INVALID);
			assert_null(got);
			continue;
		}
		want = json_loads(rows[i].want, JSON_DECODE_ANY, NULL);
		assert_non_null(want);
		if (rc < 0 || !json_equal(got, want)) {
			char *text = got ? json_dumps(got, JSON_ENCODE_ANY) : NULL;

			fail_msg("%s: %s, not %s", rows[i].text, text ? text : e.message,
				 rows[i].want);
		}
		json_decref(got);
		json_decref(want);
	}
}

/* A text that doubles with every line stays small. */
static void test_laughs(void **state)
{
	static const struct yaml_limits large = {.depth = 64, .aliased = 1000000};
	struct buf text = BUF_INIT;
	struct err e = ERR_INIT;
	json_t *got;

	(void)state;
	assert_int_equal(buf_addf(&text, NULL, "a0: &a0 [lol]\n"), 0);
	for (int i = 1; i < 60; i++)
		assert_int_equal(
			buf_addf(&text, NULL, "a%d: &a%d [*a%d, *a%d]\n", i, i, i - 1, i - 1), 0);
	assert_int_equal(yaml_read(&got, buf_str(&text), &large, &e), -1);
	assert_non_null(strstr(e.message, "aliases stand for too many values"));
	buf_deinit(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_laughs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
