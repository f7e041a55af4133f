/* Secrets of records: sealed, opened, and what does not open. */
#include "control-plane/store/record_secrets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#define KEYS "1 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"
#define OTHER_KEYS "2 0f0e0d0c0b0a09080706050403020100101112131415161718191a1b1c1d1e1f\n"

static const struct field inner[] = {
	{.name = "host", .type = FIELD_STRING},
	{.name = "password", .type = FIELD_STRING, .flags = FIELD_SECRET},
};
static const struct field outer[] = {
	{.name = "email", .type = FIELD_STRING},
	{.name = "token", .type = FIELD_STRING, .flags = FIELD_SECRET},
	{.name = "redis", .type = FIELD_RECORD, .fields = inner, .field_count = array_len(inner)},
};
static const struct field plain_of[] = {
	{.name = "redis", .type = FIELD_RECORD, .fields = inner, .field_count = 1},
	{.name = "cert", .type = FIELD_STRING, .flags = FIELD_SECRET | FIELD_TRANSIENT},
};
static const struct field record = {
	.name = "config", .type = FIELD_RECORD, .fields = outer, .field_count = array_len(outer)};
static const struct field without = {.name = "config",
				     .type = FIELD_RECORD,
				     .fields = plain_of,
				     .field_count = array_len(plain_of)};

static struct keyring *ring(const char *text)
{
	struct keyring *k = NULL;

	assert_int_equal(keyring_from_text(&k, str_from(text), NULL), 0);
	return k;
}

static json_t *json(const char *text)
{
	json_t *value = json_loads(text, 0, NULL);

	assert_non_null(value);
	return value;
}

static void test_has(void **state)
{
	(void)state;
	assert_true(record_secrets_has(&record));
	assert_false(record_secrets_has(&without));
	assert_false(record_secrets_has(&outer[1]));
}

static bool holds(const json_t *value, const char *text)
{
	char *dump = json_dumps(value, 0);
	bool found = strstr(dump, text) != NULL;

	free(dump);
	return found;
}

static void test_there_and_back(void **state)
{
	static const char *const rows[] = {
		("{\"email\":\"a@b\",\"token\":\"s3cret\",\"redis\":{\"host\":\"h\","
		 "\"password\":\"s3cret\"}}"),
		"{\"email\":\"s\",\"token\":null,\"redis\":{\"password\":\"sealed:s3cret\"}}",
		"{\"token\":\"s3cret\",\"redis\":null}",
		"{}",
	};
	struct keyring *k = ring(KEYS);

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		json_t *was = json(rows[i]), *is = json_deep_copy(was);

		assert_int_equal(record_secrets_seal(&record, is, "p.config", "7", k, NULL), 0);
		assert_false(holds(is, "s3cret"));
		assert_int_equal(record_secrets_open(&record, is, "p.config", "7", k, NULL), 0);
		assert_true(json_equal(is, was));
		json_decref(was);
		json_decref(is);
	}
	keyring_free(k);
}

/* What does not open becomes null, and the rest is there. */
static void test_does_not_open(void **state)
{
	static const struct {
		const char *path, *id, *keys;
		enum err_kind kind;
	} rows[] = {
		{"p.other", "7", KEYS, ERR_DENIED},
		{"p.config", "8", KEYS, ERR_DENIED},
		{"p.config", "7", OTHER_KEYS, ERR_NOT_FOUND},
	};
	struct keyring *k = ring(KEYS);

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		json_t *value = json("{\"email\":\"a@b\",\"token\":\"s\"}");
		struct keyring *other = ring(rows[i].keys);
		struct err e = ERR_INIT;

		assert_int_equal(record_secrets_seal(&record, value, "p.config", "7", k, NULL), 0);
		assert_int_equal(
			record_secrets_open(&record, value, rows[i].path, rows[i].id, other, &e),
			-1);
		assert_int_equal(e.kind, rows[i].kind);
		assert_true(json_is_null(json_object_get(value, "token")));
		assert_string_equal(json_string_value(json_object_get(value, "email")), "a@b");
		json_decref(value);
		keyring_free(other);
	}
	keyring_free(k);
}

/* A row that is older than the field's being a secret, and one that somebody damaged. */
static void test_texts(void **state)
{
	static const struct {
		const char *stored, *want;
		int rc;
	} rows[] = {
		{"plain", "plain", 0},
		{"sealed:", NULL, -1},
		{"sealed:zz", NULL, -1},
		{"sealed:00", NULL, -1},
	};
	struct keyring *k = ring(KEYS);

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		json_t *value = json_pack("{s:s}", "token", rows[i].stored);
		const json_t *token;
		struct err e = ERR_INIT;

		assert_int_equal(record_secrets_open(&record, value, "p.config", "7", k, &e),
				 rows[i].rc);
		token = json_object_get(value, "token");
		assert_int_equal(json_is_null(token), rows[i].want == NULL);
		if (rows[i].want)
			assert_string_equal(json_string_value(token), rows[i].want);
		json_decref(value);
	}
	keyring_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_has),
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_does_not_open),
		cmocka_unit_test(test_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
