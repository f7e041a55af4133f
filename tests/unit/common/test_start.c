/* conf/start: the exit codes of a daemon's start, and that nothing is left behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/conf/start.h"

struct config {
	char *name;
	int64_t size;
};

static const struct conf_key keys[] = {
	{.name = "name",
	 .type = CONF_STRING,
	 .offset = offsetof(struct config, name),
	 .help = "a name"},
	{.name = "size",
	 .type = CONF_INT,
	 .offset = offsetof(struct config, size),
	 .fallback = "5",
	 .min = 1,
	 .max = 9,
	 .help = "a size"},
};

static int check(const void *config, struct err *e)
{
	const struct config *c = config;

	return c->name ? 0 : err_set(e, ERR_INVALID, "name: must be set");
}

static void test_codes(void **state)
{
	static const struct {
		const char *text;
		bool test;
		int want;
	} rows[] = {
		{"name = a\n", false, -1},
		{"name = a\n", true, 0},
		{"name = a\nsize = 10\n", false, 2},
		{"name = a\nsize = 10\n", true, 2},
		{"size = 4\n", false, 2},
		{"size = 4\n", true, 2},
		{"nane = a\n", false, 2},
		{"name\n", false, 2},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		char path[] = "/tmp/test_start-XXXXXX";
		const struct conf_start s = {"test", keys, array_len(keys), check, rows[i].test};
		struct config c = {0};
		int fd = mkstemp(path);

		assert_true(fd >= 0);
		assert_int_equal(write(fd, rows[i].text, strlen(rows[i].text)),
				 strlen(rows[i].text));
		close(fd);
		assert_int_equal(conf_start(&s, &c, path), rows[i].want);
		unlink(path);
		if (rows[i].want == -1)
			assert_string_equal(c.name, "a");
		else
			assert_null(c.name);
		conf_free(keys, array_len(keys), &c);
	}
}

static void test_usage(void **state)
{
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);

	(void)state;
	assert_non_null(out);
	conf_usage(keys, array_len(keys), out);
	fclose(out);
	assert_string_equal(text, "  name                   a name\n"
				  "  size                   a size (5)\n");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_codes),
		cmocka_unit_test(test_usage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
