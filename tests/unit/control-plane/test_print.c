/* Tables, JSON and names on stdout; and the columns of every kind. */
#include "control-plane/cli/print.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/lib/oom.h"

struct job {
	const char *form, *kind;
	bool list;
	const char *rows; /* a JSON array */
};

static int print_all(const struct job *j, FILE *out, struct err *e)
{
	struct cli c = {.option = {[OPTION_OUTPUT] = j->form}};
	json_t *rows = json_loads(j->rows, 0, NULL);
	const json_t *row;
	struct print p;
	size_t i;
	int rc = print_begin(&p, &c, j->kind, j->list, out, e);

	json_array_foreach(rows, i, row)
	{
		if (rc == 0)
			rc = print_row(&p, row, "n\n1", e);
	}
	print_end(&p, rc == 0);
	json_decref(rows);
	return rc;
}

static void test_forms(void **state)
{
	static const struct {
		struct job job;
		const char *want;
	} rows[] = {
		{{"json", "snis", true, "[]"}, "[]\n"},
		{{"json", "snis", true, "[{}]"}, "[\n{}\n]\n"},
		{{"json", "snis", true, "[{\"a\":1},{}]"}, "[\n{\n  \"a\": 1\n},\n{}\n]\n"},
		{{"json", "snis", false, "[{\"a\":1.25}]"}, "{\n  \"a\": 1.25\n}\n"},
		{{"name", "snis", true, "[{},{}]"}, "n?1\nn?1\n"},
		{{"name", "snis", true, "[]"}, ""},
		{{"table", "snis", true, "[]"}, "NAME  CERTIFICATE  TAGS\n"},
		{{NULL, "snis", true, "[]"}, "NAME  CERTIFICATE  TAGS\n"},
		{{NULL, "snis", false,
		  "[{\"name\":\"\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f.de\","
		  "\"certificate\":{\"id\":\"x\"},\"tags\":[]}]"},
		 "NAME     CERTIFICATE  TAGS\n\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f.de  x            "
		 "-\n"},
		{{NULL, "snis", true,
		  "[{\"name\":\"a\\u001b[1m\\u009b\\u007f\\n\"},"
		  "{\"name\":null,\"tags\":[\"a\",\"b\",\"c\",\"d\",\"e\"],"
		  "\"certificate\":null}]"},
		 "NAME      CERTIFICATE  TAGS\na?[1m???  -            -\n"
		 "-         -            a,b,c,+2\n"},
		{{NULL, "facts", true, "[{\"what\":\"a\",\"value\":[1,true,{\"b\":null}]}]"},
		 "WHAT  VALUE\na     [1,true,{\"b\":null}]\n"},
		{{NULL, "nobodies", true, "[{\"name\":\"a\",\"id\":7}]"},
		 "NAME  ID  TAGS\na     7   -\n"},
		{{NULL, "ca_certificates", true, "[{\"id\":\"a\",\"cert\":\"no PEM\"}]"},
		 "ID  SUBJECT  EXPIRES  TAGS\na   ?        ?        -\n"},
		{{NULL, "ca_certificates", true, "[{\"id\":\"a\",\"cert\":7}]"},
		 "ID  SUBJECT  EXPIRES  TAGS\na   ?        ?        -\n"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		char *text = NULL;
		size_t size = 0;
		FILE *out = open_memstream(&text, &size);

		assert_int_equal(print_all(&rows[i].job, out, NULL), 0);
		fclose(out);
		assert_string_equal(text, rows[i].want);
		free(text);
	}
}

static void test_unknown_form(void **state)
{
	static const char *const forms[] = {"", "yaml", "JSON", "json ", "json|table"};

	(void)state;
	for (size_t i = 0; i < array_len(forms); i++) {
		struct job j = {forms[i], "snis", true, "[]"};
		struct err e = ERR_INIT;

		assert_int_equal(print_all(&j, stdout, &e), -1);
		assert_int_equal(e.kind, ERR_INVALID);
		assert_non_null(strstr(e.message, "is not one of: json|table|name"));
	}
}

/* Each entity has columns, and each column is a field that the entity has. */
static void test_columns_are_fields(void **state)
{
	const struct entity *t;

	(void)state;
	for (size_t i = 0; (t = entity_at(i)); i++) {
		const struct columns *k = columns_of(t->name);

		if (t->internal)
			continue;
		assert_string_equal(k->kind, t->name);
		for (size_t n = 0; n < k->count; n++) {
			struct str member = str_from(k->columns[n].member);

			member = str_sub(member, 0, str_find(member, '.', 0));
			if (!entity_field(t, member))
				fail_msg("%s has no %s", t->name, k->columns[n].member);
		}
	}
}

static void print_some(void *arg)
{
	static const struct job j = {NULL, "snis", true, "[{\"name\":\"a\"},{\"tags\":[\"b\"]}]"};
	FILE *out = arg;

	if (print_all(&j, out, NULL) < 0)
		return;
}

static void test_out_of_memory(void **state)
{
	FILE *out = fopen("/dev/null", "w");

	(void)state;
	assert_true(oom_each(print_some, out) > 5);
	fclose(out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_unknown_form),
		cmocka_unit_test(test_columns_are_fields),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
