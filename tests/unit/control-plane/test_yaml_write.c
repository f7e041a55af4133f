/* JSON values to YAML: exact texts, and that a reader gets back what was written. */
#include "control-plane/model/yaml_write.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "control-plane/model/yaml_read.h"

static const struct yaml_limits limits = {.depth = 64, .aliased = 100};

static void write_text(struct buf *out, const json_t *value)
{
	struct yaml_writer *w;
	struct err e = ERR_INIT;

	assert_int_equal(yaml_write_begin(&w, out, &e), 0);
	if (yaml_write_value(w, value, &e) < 0)
		fail_msg("%s", e.message);
	assert_int_equal(yaml_write_end(w, &e), 0);
}

static const struct {
	const char *json, *want;
} rows[] = {
	{"{\"a\":1,\"b\":-2.5,\"c\":true,\"d\":null}", "a: 1\nb: -2.5\nc: true\nd: ~\n"},
	{"{\"a\":\"x\",\"b\":\"3.0\",\"c\":\"no\",\"d\":\"\"}", "a: x\nb: '3.0'\nc: 'no'\nd: ''\n"},
	{"{\"a\":[1,{\"b\":2}],\"c\":[],\"d\":{}}", "a:\n- 1\n- b: 2\nc: []\nd: {}\n"},
	{"{\"a\":\"x\\ny\\n\"}", "a: |\n  x\n  y\n"},
	{"{\"a\":\"x\\ny\"}", "a: |-\n  x\n  y\n"},
	{"{\"a\":\"x\\r\\ny\"}", "a: \"x\\r\\ny\"\n"},
	{"{\"a\":\"it's: #1\"}", "a: 'it''s: #1'\n"},
	{"{\"a\":\"*x\",\"<<\":1}", "a: '*x'\n'<<': 1\n"},
};

static void test_texts(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct buf out = BUF_INIT;
		json_t *value = json_loads(rows[i].json, 0, NULL);

		assert_non_null(value);
		write_text(&out, value);
		assert_string_equal(out.data, rows[i].want);
		json_decref(value);
		buf_deinit(&out);
	}
}

/* Texts that a reader could take for something else. */
static const char *const texts[] = {
	"",
	" ",
	"~",
	"null",
	"yes",
	"1",
	"01",
	"0x1",
	"1e3",
	".5",
	"-",
	"- a",
	"? a",
	"a: b",
	"a #b",
	"#a",
	"&a",
	"*a",
	"!a",
	"%a",
	"@a",
	"`a",
	"{a",
	"[a",
	"a]",
	"'",
	"\"",
	"\\",
	"\n",
	"\n\n",
	"a\n",
	"a\n\n",
	"\na",
	" a\nb",
	"a\n b",
	"a \nb",
	"a\tb",
	"\ta",
	"a\r",
	"a\r\nb",
	"\x7f",
	"\xc2\x85",
	"\xc2\xa0",
	"\xe2\x80\xa8x",
	"\xef\xbb\xbfx",
	"\xf0\x9f\x98\x80",
	"---",
	"...",
	"--- a",
	"a\n---\nb",
	"a\n...\nb",
	"=",
	"<<",
	"y",
	"2001-01-01",
	"1:30",
	"a,b",
	"a  b",
	" a",
	"a ",
};

/* Each as value and as key. */
static void test_back_again(void **state)
{

	(void)state;
	for (size_t i = 0; i < array_len(texts); i++) {
		struct buf out = BUF_INIT;
		struct err e = ERR_INIT;
		json_t *value =
			json_pack("{s:s, s:{s:[s]}}", "v", texts[i], "k", texts[i], texts[i]);
		json_t *back = NULL;

		assert_non_null(value);
		write_text(&out, value);
		if (yaml_read(&back, buf_str(&out), &limits, &e) < 0)
			fail_msg("%s: %s", out.data, e.message);
		if (!json_equal(back, value))
			fail_msg("%s: changed on its way", out.data);
		json_decref(value);
		json_decref(back);
		buf_deinit(&out);
	}
}

static void test_limit(void **state)
{
	struct buf out = {.limit = 100};
	struct yaml_writer *w;
	struct err e = ERR_INIT;
	json_t *value = json_object();

	(void)state;
	for (int i = 0; i < 20000; i++) {
		char name[16];

		snprintf(name, sizeof(name), "k%d", i);
		json_object_set_new(value, name, json_string("a text"));
	}
	assert_int_equal(yaml_write_begin(&w, &out, &e), 0);
	assert_int_equal(yaml_write_value(w, value, &e), -1);
	assert_int_equal(e.kind, ERR_LIMIT);
	assert_int_equal(yaml_write_key(w, "a", &e), -1);
	assert_int_equal(yaml_write_end(w, &e), -1);
	json_decref(value);
	buf_deinit(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_back_again),
		cmocka_unit_test(test_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
