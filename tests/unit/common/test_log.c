#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/core/log.h"

static void test_values(void **state)
{
	static const struct {
		struct {
			const char *ptr;
			size_t len;
		} in;
		const char *logfmt, *json;
	} rows[] = {
		{{"plain", 5}, "k=plain", "\"k\":\"plain\""},
		{{"", 0}, "k=\"\"", "\"k\":\"\""},
		{{NULL, 0}, "k=\"\"", "\"k\":\"\""},
		{{"two words", 9}, "k=\"two words\"", "\"k\":\"two words\""},
		{{"a=b", 3}, "k=\"a=b\"", "\"k\":\"a=b\""},
		{{"say \"x\"", 7}, "k=\"say \\\"x\\\"\"", "\"k\":\"say \\\"x\\\"\""},
		{{"back\\slash", 10}, "k=\"back\\\\slash\"", "\"k\":\"back\\\\slash\""},
		{{"a\nb", 3}, "k=\"a\\nb\"", "\"k\":\"a\\nb\""},
		{{"a\0b", 3}, "k=\"a\\u0000b\"", "\"k\":\"a\\u0000b\""},
		{{"\x1b[31m", 5}, "k=\"\\u001b[31m\"", "\"k\":\"\\u001b[31m\""},
		{{"\x7f", 1}, "k=\"\\u007f\"", "\"k\":\"\\u007f\""},
		{{"m\xc3\xbcller", 7}, "k=m\xc3\xbcller", "\"k\":\"m\xc3\xbcller\""},
		{{"\xe2\x82\xac", 3}, "k=\xe2\x82\xac", "\"k\":\"\xe2\x82\xac\""},
		{{"\xf0\x9f\x98\x80", 4}, "k=\xf0\x9f\x98\x80", "\"k\":\"\xf0\x9f\x98\x80\""},
		/* Not UTF-8: each bad byte becomes the replacement character. */
		{{"\xff", 1}, "k=\"\\ufffd\"", "\"k\":\"\\ufffd\""},
		{{"a\xc3", 2}, "k=\"a\\ufffd\"", "\"k\":\"a\\ufffd\""},
		{{"\xc3(", 2}, "k=\"\\ufffd(\"", "\"k\":\"\\ufffd(\""},
		{{"\xc0\xaf", 2}, "k=\"\\ufffd\\ufffd\"", "\"k\":\"\\ufffd\\ufffd\""},
		{{"\xed\xa0\x80", 3},
		 "k=\"\\ufffd\\ufffd\\ufffd\"",
		 "\"k\":\"\\ufffd\\ufffd\\ufffd\""},
	};
	char line[512];

	(void)state;
	log_setup("prog", LOG_INFO, LOG_FORMAT_LOGFMT);
	for (size_t i = 0; i < array_len(rows); i++) {
		const struct log_field f = log_strn("k", rows[i].in.ptr, rows[i].in.len);

		log_format_line(line, sizeof(line), LOG_FORMAT_LOGFMT, LOG_INFO, "x", &f, 1);
		assert_non_null(strstr(line, "level=info program=prog event=x "));
		if (strcmp(line + strlen(line) - strlen(rows[i].logfmt), rows[i].logfmt) != 0)
			fail_msg("row %zu: %s", i, line);
		log_format_line(line, sizeof(line), LOG_FORMAT_JSON, LOG_INFO, "x", &f, 1);
		if (!strstr(line, rows[i].json) || line[strlen(line) - 1] != '}')
			fail_msg("row %zu: %s", i, line);
	}
}

static void test_numbers(void **state)
{
	const struct err e = {ERR_INVALID, 0, "it broke"};
	const struct log_field fields[] = {log_i64("i", INT64_MIN), log_u64("u", UINT64_MAX),
					   log_f64("f", 0.25), log_err(&e)};
	char line[512];

	(void)state;
	log_format_line(line, sizeof(line), LOG_FORMAT_LOGFMT, LOG_WARN, "two words", fields,
			array_len(fields));
	assert_non_null(strstr(line, "level=warn"));
	assert_non_null(strstr(line, "event=\"two words\" i=-9223372036854775808 "
				     "u=18446744073709551615 f=0.25 error=\"it broke\""));
}

static void expect_json(const char *line, size_t len)
{
	json_error_t why;
	json_t *j = json_loadb(line, len, 0, &why);

	if (!j)
		fail_msg("%s: %s", why.text, line);
	json_decref(j);
}

/* JSON has no NaN and no infinity. */
static void test_odd_numbers_are_json(void **state)
{
	const double odd[] = {NAN, INFINITY, -INFINITY, 1e300, -0.0};
	char line[512];

	(void)state;
	for (size_t i = 0; i < array_len(odd); i++) {
		const struct log_field f = log_f64("f", odd[i]);
		size_t n =
			log_format_line(line, sizeof(line), LOG_FORMAT_JSON, LOG_INFO, "x", &f, 1);

		expect_json(line, n);
	}
}

/* A line that is too long is cut so that it still parses, whatever is at the cut. */
static void test_cut_is_json(void **state)
{
	static const char *const fill[] = {
		"a", "\"", "\n", "\x01", "\xc3\xbc", "\xff", "\xf0\x9f\x98\x80"};
	char value[600], line[300];

	(void)state;
	for (size_t k = 0; k < array_len(fill); k++) {
		size_t unit = strlen(fill[k]), len = 0;

		for (; len + unit < sizeof(value); len += unit)
			memcpy(value + len, fill[k], unit);
		for (size_t size = 64; size <= sizeof(line); size++) {
			const struct log_field f[] = {log_strn("first", value, len),
						      log_u64("second", 2)};
			size_t n =
				log_format_line(line, size, LOG_FORMAT_JSON, LOG_INFO, "ev", f, 2);

			assert_true(n < size);
			assert_int_equal(line[n], '\0');
			expect_json(line, n);
			n = log_format_line(line, size, LOG_FORMAT_LOGFMT, LOG_INFO, "ev", f, 2);
			assert_true(n < size);
			assert_int_equal(line[n], '\0');
		}
	}
}

/* What log_event writes: one line, with a time, that parses. */
static void read_event(char *out, size_t size, enum log_format format, const char *value)
{
	int pipes[2], saved = dup(STDERR_FILENO);
	ssize_t n;

	assert_int_equal(pipe(pipes), 0);
	log_setup("prog", LOG_INFO, format);
	dup2(pipes[1], STDERR_FILENO);
	log_info("something", log_str("value", value));
	log_debug("hidden", log_str("value", value));
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(pipes[1]);
	n = read(pipes[0], out, size - 1);
	close(pipes[0]);
	assert_true(n > 0);
	out[n] = '\0';
}

static void test_event(void **state)
{
	char line[8192], huge[6000];

	(void)state;
	read_event(line, sizeof(line), LOG_FORMAT_LOGFMT, "v");
	assert_memory_equal(line, "time=20", 7);
	assert_non_null(strstr(line, "Z level=info program=prog event=something value=v\n"));
	assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
	read_event(line, sizeof(line), LOG_FORMAT_JSON, "v");
	expect_json(line, strlen(line));
	memset(huge, 'h', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = '\0';
	read_event(line, sizeof(line), LOG_FORMAT_JSON, huge);
	expect_json(line, strlen(line));
	assert_int_equal(line[strlen(line) - 1], '\n');
	read_event(line, sizeof(line), LOG_FORMAT_LOGFMT, huge);
	assert_int_equal(line[strlen(line) - 1], '\n');
}

static void test_levels(void **state)
{
	static const struct {
		const char *text;
		int want; /* -1: refused */
	} rows[] = {
		{"debug", LOG_DEBUG},
		{"info", LOG_INFO},
		{"notice", LOG_NOTICE},
		{"warn", LOG_WARN},
		{"error", LOG_ERROR},
		{"crit", LOG_CRIT},
		{"", -1},
		{"INFO", -1},
		{"warning", -1},
		{"info ", -1},
		{"inf", -1},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		enum log_level level = LOG_CRIT;
		int rc = log_level_parse(rows[i].text, &level);

		assert_int_equal(rc, rows[i].want < 0 ? -1 : 0);
		assert_int_equal(level, rows[i].want < 0 ? LOG_CRIT : rows[i].want);
		if (rc == 0)
			assert_string_equal(log_level_name(level), rows[i].text);
	}
	log_set_level(LOG_WARN);
	assert_int_equal(log_level(), LOG_WARN);
	assert_false(log_enabled(LOG_NOTICE));
	assert_true(log_enabled(LOG_WARN));
	assert_true(log_enabled(LOG_CRIT));
	assert_string_equal(log_level_name((enum log_level)99), "unknown");
	log_set_level(LOG_INFO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_odd_numbers_are_json),
		cmocka_unit_test(test_cut_is_json),
		cmocka_unit_test(test_event),
		cmocka_unit_test(test_levels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
