/* field=value arguments into an entity's JSON. */
#include "control-plane/cli/assign.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/lib/oom.h"

enum { WORDS_MAX = 4 };

static const struct {
	const struct entity *entity;
	const char *words[WORDS_MAX];
	const char *want; /* JSON, or with a '!' the error */
} rows[] = {
	{&entity_services, {"host=a"}, "{\"host\":\"a\"}"},
	{&entity_services, {"host=a=b"}, "{\"host\":\"a=b\"}"},
	{&entity_services, {"host= a "}, "{\"host\":\" a \"}"},
	{&entity_services, {"port=80"}, "{\"port\":80}"},
	{&entity_services, {"port:=80"}, "{\"port\":80}"},
	{&entity_services, {"port=x"}, "{\"port\":\"x\"}"},
	{&entity_services, {"enabled=true"}, "{\"enabled\":true}"},
	{&entity_services, {"path="}, "{\"path\":null}"},
	{&entity_services, {"path:=null"}, "{\"path\":null}"},
	{&entity_services, {"tags=a"}, "{\"tags\":[\"a\"]}"},
	{&entity_services, {"tags[]=a", "tags[]=b"}, "{\"tags\":[\"a\",\"b\"]}"},
	{&entity_services, {"tags=a", "tags=b"}, "{\"tags\":[\"a\",\"b\"]}"},
	{&entity_services, {"tags[3]=c", "tags[1]=a"}, "{\"tags\":[\"a\",\"c\"]}"},
	{&entity_services, {"client_certificate.id=x"}, "{\"client_certificate\":{\"id\":\"x\"}}"},
	{&entity_services, {"unknown.a=1"}, "{\"unknown\":{\"a\":\"1\"}}"},
	{&entity_routes, {"headers[x.y][]=1"}, "{\"headers\":{\"x.y\":[\"1\"]}}"},
	{&entity_routes, {"paths:=[\"/a\"]", "paths[]=/b"}, "{\"paths\":[\"/a\",\"/b\"]}"},
	{&entity_plugins,
	 {"config.status_code=404", "name=request-termination"},
	 "{\"config\":{\"status_code\":404},\"name\":\"request-termination\"}"},
	{&entity_services, {""}, "!: expected field=value, field=@FILE or field:=JSON"},
	{&entity_services, {"host"}, "!host: expected field=value, field=@FILE or field:=JSON"},
	{&entity_services, {"host:"}, "!host:: expected field=value, field=@FILE or field:=JSON"},
	{&entity_services, {"="}, "!=: the field's name is missing"},
	{&entity_services, {":=1"}, "!:=1: the field's name is missing"},
	{&entity_services, {"host=@"}, "!host=@: the file's name is missing"},
	{&entity_services, {"host:=@"}, "!host:=@: the file's name is missing"},
	{&entity_services, {"host=@/nonexistent"}, "!/nonexistent: No such file or directory"},
	{&entity_services, {"host=@/bin/sh"}, "!host: not UTF-8 text"},
	{&entity_services, {"host=\xff"}, "!host: not UTF-8 text"},
	{&entity_services, {"port:="}, "!port: not JSON: unexpected token near end of file"},
	{&entity_services, {"port:=80 81"}, "!port: not JSON: end of file expected near '81'"},
	{&entity_services, {"a[=1"}, "!form field 'a[': unbalanced brackets"},
	{&entity_services, {".=1"}, "!form field '.': an empty level"},
	{&entity_services,
	 {"a.b=1", "a[]=1"},
	 "!form field 'a[]': clashes with another field's "
	 "shape"},
	{&entity_services,
	 {"tags[1001]=1"},
	 "!form field 'tags[1001]': positions go from 1 to "
	 "1000"},
};

static int read_words(json_t **out, size_t row, struct err *e)
{
	char *words[WORDS_MAX];
	int count = 0;

	for (; count < WORDS_MAX && rows[row].words[count]; count++)
		words[count] = (char *)(uintptr_t)rows[row].words[count];
	return assign_read(out, rows[row].entity, NULL, count, words, e);
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		bool refused = rows[i].want[0] == '!';
		struct err e = ERR_INIT;
		json_t *out = NULL;
		char *text;

		if (read_words(&out, i, &e) < 0) {
			if (!refused ||
			    !str_starts(str_from(e.message), str_from(rows[i].want + 1)))
				fail_msg("%s: %s", rows[i].words[0], e.message);
			assert_int_equal(e.kind, ERR_INVALID);
			continue;
		}
		text = json_dumps(out, JSON_COMPACT | JSON_SORT_KEYS);
		assert_string_equal(text, rows[i].want);
		free(text);
		json_decref(out);
	}
}

/* What the row is decides what text means. */
static void test_old(void **state)
{
	json_t *old = json_pack("{s:s}", "name", "request-termination"), *out = NULL;
	char word[] = "config.status_code=404";
	char *words[] = {word};

	(void)state;
	assert_int_equal(assign_read(&out, &entity_plugins, NULL, 1, words, NULL), 0);
	assert_true(json_is_string(json_object_get(json_object_get(out, "config"), "status_code")));
	json_decref(out);
	assert_int_equal(assign_read(&out, &entity_plugins, old, 1, words, NULL), 0);
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(out, "config"), "status_code")),
		404);
	json_decref(out);
	json_decref(old);
}

static void read_some(void *arg)
{
	json_t *out = NULL;

	(void)arg;
	for (size_t i = 0; i < 12; i++)
		if (read_words(&out, i, NULL) == 0)
			json_decref(out);
}

static void test_out_of_memory(void **state)
{
	(void)state;
	(void)oom_each(read_some, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_old),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
