/* Audit notes as the database gets them. */
#include "control-plane/store/note.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "tests/unit/lib/oom.h"

static const struct {
	const char *path, *want;
} paths[] = {
	{NULL, "{\"actor\":\"a\",\"actor_kind\":\"token\"}"},
	{"/x", "{\"actor\":\"a\",\"actor_kind\":\"token\",\"path\":\"/x\"}"},
	{"/\xc3\xa9", "{\"actor\":\"a\",\"actor_kind\":\"token\",\"path\":\"/\xc3\xa9\"}"},
	{"/\xff\xc3", "{\"actor\":\"a\",\"actor_kind\":\"token\",\"path\":\"/??\"}"},
	{"/a\nb\x01\x7f", "{\"actor\":\"a\",\"actor_kind\":\"token\",\"path\":\"/a?b??\"}"},
	{"/\"\\", "{\"actor\":\"a\",\"actor_kind\":\"token\",\"path\":\"/\\\"\\\\\"}"},
};

static void test_paths(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(paths); i++) {
		struct store_note n = {.actor = "a", .actor_kind = "token", .path = paths[i].path};
		struct arena a;

		arena_init(&a, 0);
		assert_string_equal(note_encode(&n, &a, NULL), paths[i].want);
		arena_deinit(&a);
	}
}

static json_t *encode(const struct store_note *n)
{
	struct arena a;
	json_t *out;

	arena_init(&a, 0);
	out = json_loads(note_encode(n, &a, NULL), 0, NULL);
	arena_deinit(&a);
	assert_non_null(out);
	return out;
}

static void test_all_of_it(void **state)
{
	json_t *fields = json_pack("[s, s]", "cert", "key");
	json_t *want = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:O, s:b}", "actor", "a",
				 "actor_kind", "token", "address", "192.0.2.1", "method", "POST",
				 "path", "/x", "kind", "snis", "entity", "id", "fields", fields,
				 "if_changed", true);
	struct store_note n = {"a", "token", "192.0.2.1", "POST", "/x", "snis", "id", fields, true};
	json_t *got = encode(&n);

	(void)state;
	assert_true(json_equal(got, want));
	json_decref(got);
	json_decref(want);
	json_decref(fields);
}

/* Also in the middle of a character. */
static void test_long_texts_are_cut(void **state)
{
	char text[4 * NOTE_TEXT_MAX + 1];
	struct store_note n = {.actor = text, .actor_kind = "token"};
	json_t *got;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	got = encode(&n);
	assert_int_equal(json_string_length(json_object_get(got, "actor")), NOTE_TEXT_MAX);
	json_decref(got);
	text[NOTE_TEXT_MAX - 1] = '\xc3';
	text[NOTE_TEXT_MAX] = '\xa9';
	got = encode(&n);
	assert_int_equal(json_string_value(json_object_get(got, "actor"))[NOTE_TEXT_MAX - 1], '?');
	json_decref(got);
}

static void encode_once(void *arg)
{
	const struct store_note *n = arg;
	struct err e = ERR_INIT;
	struct arena a;
	const char *text;

	arena_init(&a, 0);
	text = note_encode(n, &a, &e);
	assert_int_equal(e.kind, text ? ERR_NONE : ERR_MEMORY);
	arena_deinit(&a);
}

static void test_out_of_memory(void **state)
{
	struct store_note n = {.actor = "a", .actor_kind = "token"};

	(void)state;
	assert_true(oom_each(encode_once, &n) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_all_of_it),
		cmocka_unit_test(test_long_texts_are_cut),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
