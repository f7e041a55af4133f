/* One line of an import to an entity and its input. */
#include "control-plane/bulk/line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct {
	const char *line, *entity; /* NULL: refused */
	const char *words;	   /* of the refusal */
} rows[] = {
	{"{\"snis\":{\"name\":\"a.com\"}}", "snis", NULL},
	{" { \"certificates\" : { } } ", "certificates", NULL},
	{"{\"plugins\":{}}", "plugins", NULL},
	{"", NULL, "cut short"},
	{"{", NULL, "cut short"},
	{"{\"snis\":{\"name\":\"a", NULL, "not valid JSON"},
	{"{\"snis\":{}", NULL, "cut short"},
	{"nope", NULL, "not valid JSON at byte"},
	{"{\"snis\":{}} x", NULL, "not valid JSON"},
	{"[]", NULL, "expected an object"},
	{"7", NULL, "not valid JSON"},
	{"{}", NULL, "expected one member"},
	{"{\"snis\":{},\"routes\":{}}", NULL, "expected one member"},
	{"{\"snis\":[]}", NULL, "snis: expected an object"},
	{"{\"snis\":null}", NULL, "snis: expected an object"},
	{"{\"snis\":\"secret words\"}", NULL, "snis: expected an object"},
	{"{\"nothing\":{}}", NULL, "no entity is named 'nothing'"},
	{"{\"\":{}}", NULL, "no entity is named ''"},
	{"{\"ticket_secrets\":{}}", NULL, "no entity is named 'ticket_secrets'"},
	{"{\"acme_challenges\":{}}", NULL, "no entity is named"},
	{"{\"snis\":{\"a\":1,\"a\":2}}", NULL, "not valid JSON"},
	{"{\"snis\":{\"a\":\"\\u0000\"}}", NULL, "not valid JSON"},
	{"{\"snis\":{\"a\":\"secret words\xff\"}}", NULL, "not valid JSON"},
	{"{\"snis\":{\"a\":1e999}}", NULL, "not valid JSON"},
};

static void test_lines(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		const struct entity *t = NULL;
		json_t *input = NULL;
		struct err e = ERR_INIT;
		int rc = line_decode(&t, &input, str_from(rows[i].line), &e);

		if (!rows[i].entity != (rc < 0))
			fail_msg("%s: %s", rows[i].line, e.message);
		if (rc == 0)
			assert_string_equal(t->name, rows[i].entity);
		else if (!strstr(e.message, rows[i].words))
			fail_msg("%s: %s", rows[i].line, e.message);
		/* What stands in a line may be a key. */
		assert_null(strstr(e.message, "secret words"));
		json_decref(input);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_lines)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
