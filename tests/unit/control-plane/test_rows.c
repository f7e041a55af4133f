/* Entities to parameters and back, and what does not survive it. */
#include "control-plane/store/rows.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <libpq-fe.h>

#include "control-plane/store/pg_internal.h"
#include "tests/unit/lib/oom.h"

#define ID "5f4f2a0e-0000-4000-8000-00000000000a"
#define OTHER_ID "5f4f2a0e-0000-4000-8000-00000000000b"
#define KEYS "1 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"
#define OTHER_KEYS "2 0f0e0d0c0b0a09080706050403020100101112131415161718191a1b1c1d1e1f\n"

static const struct field text_element = {.name = "e", .type = FIELD_STRING};
static const struct field fields[] = {
	{.name = "name", .type = FIELD_STRING},
	{.name = "size", .type = FIELD_INTEGER},
	{.name = "share", .type = FIELD_NUMBER},
	{.name = "open", .type = FIELD_BOOLEAN},
	{.name = "at", .type = FIELD_TIMESTAMP},
	{.name = "parent", .type = FIELD_FOREIGN, .reference = "certificates"},
	{.name = "words", .type = FIELD_SET, .elements = &text_element},
	{.name = "key", .type = FIELD_STRING, .flags = FIELD_SECRET},
};
static const struct entity things = {
	.name = "things", .singular = "thing", .fields = fields, .field_count = array_len(fields)};

static struct keyring *ring(const char *text)
{
	struct keyring *k = NULL;

	assert_int_equal(keyring_from_text(&k, str_from(text), NULL), 0);
	return k;
}

static json_t *json(const char *text)
{
	json_error_t why;
	json_t *value = json_loads(text, JSON_DECODE_ANY, &why);

	if (!value)
		fail_msg("%s: %s", why.text, text);
	return value;
}

/* A result of one row, as the server would send it. */
static PGresult *result_of(const char *const *names, const unsigned *types,
			   const char *const *values, size_t n)
{
	PGresult *r = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
	PGresAttDesc columns[SQL_FIELDS_MAX + 1] = {0};

	for (size_t i = 0; i < n; i++) {
		columns[i].name = (char *)(uintptr_t)(names ? names[i] : "c");
		columns[i].typid = types ? types[i] : 25;
	}
	assert_true(PQsetResultAttrs(r, (int)n, columns));
	for (size_t i = 0; i < n; i++)
		assert_true(PQsetvalue(r, 0, (int)i, (char *)(uintptr_t)values[i],
				       values[i] ? (int)strlen(values[i]) : -1));
	return r;
}

/* Encodes row, and decodes what was encoded as if it came from the table. */
static json_t *there_and_back(const char *text, const char *id_there, const char *keys_back,
			      enum rows_secrets *secrets)
{
	const char *params[SQL_FIELDS_MAX], *values[SQL_FIELDS_MAX + 1];
	struct keyring *k = ring(KEYS), *back = ring(keys_back);
	struct pg_result r = {NULL};
	struct arena a;
	struct sql s;
	json_t *row = json(text), *out;

	arena_init(&a, 0);
	assert_int_equal(sql_init(&s, &things, NULL), 0);
	assert_int_equal(rows_encode(&s, k, row, &a, params, NULL), 0);
	assert_int_equal(s.read_count, s.write_count);
	memcpy(values, params, s.write_count * sizeof(*values));
	values[0] = id_there;
	values[s.read_count] = "7";
	r.r = result_of(NULL, NULL, values, s.read_count + 1);
	out = rows_decode(&s, back, &r, 0, secrets, NULL);
	PQclear(r.r);
	json_decref(row);
	sql_deinit(&s);
	arena_deinit(&a);
	keyring_free(k);
	keyring_free(back);
	return out;
}

#define FULL                                                                                       \
	"{\"id\":\"" ID "\",\"created_at\":5,\"updated_at\":6,\"name\":\"a\\u00fc\",\"size\":-3,"  \
	"\"share\":0.1,\"open\":true,\"at\":1700000000,\"parent\":{\"id\":\"" OTHER_ID "\"},"      \
	"\"words\":[\"b\",\"a\"],\"key\":"

static void test_round_trip(void **state)
{
	enum rows_secrets secrets = ROWS_NO_KEY;
	json_t *got = there_and_back(FULL "\"k\"}", ID, KEYS, &secrets);
	json_t *want = json(FULL "\"k\",\"version\":7}");

	(void)state;
	assert_int_equal(secrets, ROWS_OPEN);
	assert_true(json_equal(got, want));
	json_decref(got);
	json_decref(want);
}

static const struct {
	const char *name, *id, *keys;
	enum rows_secrets want;
} closed[] = {
	{"a row put in another's place", OTHER_ID, KEYS, ROWS_DAMAGED},
	{"a key that is missing", ID, OTHER_KEYS, ROWS_NO_KEY},
};

/* Everything else of the row is still of use. */
static void test_secret_does_not_open(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(closed); i++) {
		enum rows_secrets secrets = ROWS_OPEN;
		json_t *got = there_and_back(FULL "\"k\"}", closed[i].id, closed[i].keys, &secrets);

		if (secrets != closed[i].want || !json_is_null(json_object_get(got, "key")))
			fail_msg("%s", closed[i].name);
		assert_int_equal(json_integer_value(json_object_get(got, "size")), -3);
		json_decref(got);
	}
}

static void test_nulls(void **state)
{
	enum rows_secrets secrets = ROWS_NO_KEY;
	json_t *got = there_and_back("{\"id\":\"" ID "\",\"name\":null}", ID, KEYS, &secrets);
	const char *key;
	json_t *value;
	size_t nulls = 0;

	(void)state;
	assert_int_equal(secrets, ROWS_OPEN);
	json_object_foreach(got, key, value) nulls += json_is_null(value);
	assert_int_equal(nulls, json_object_size(got) - 2); /* id, version */
	json_decref(got);
}

/* The parameter of a plugin's config. */
static char *config_param(const char *text)
{
	const char *params[SQL_FIELDS_MAX];
	struct keyring *k = ring(KEYS);
	json_t *row = json(text);
	char *config = NULL;
	struct arena a;
	struct sql s;

	arena_init(&a, 0);
	assert_int_equal(sql_init(&s, &entity_plugins, NULL), 0);
	assert_int_equal(rows_encode(&s, k, row, &a, params, NULL), 0);
	for (size_t i = 0; i < s.write_count; i++)
		if (!config && strcmp(s.write[i]->name, "config") == 0)
			config = strdup(params[i]);
	sql_deinit(&s);
	arena_deinit(&a);
	json_decref(row);
	keyring_free(k);
	return config;
}

/* Members of a record that are shorthands are not stored, and stay in the row. */
static void test_transient_members(void **state)
{
	static const struct {
		const char *row, *want;
	} rows[] = {
		{"{\"name\":\"ssl\",\"config\":{\"cert\":\"C\",\"key\":\"K\",\"only_https\":true}}",
		 "{\"only_https\":true}"},
		{"{\"name\":\"ssl\",\"config\":{\"cert\":null,\"key\":null}}", "{}"},
		{"{\"name\":\"ssl\",\"config\":{}}", "{}"},
		{"{\"name\":\"request-termination\",\"config\":{\"key\":\"K\"}}",
		 "{\"key\":\"K\"}"},
		{"{\"name\":\"gone\",\"config\":{\"cert\":\"C\"}}", "{\"cert\":\"C\"}"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		char *config = config_param(rows[i].row);

		assert_string_equal(config, rows[i].want);
		free(config);
	}
}

/* The checks keep such values from getting here: it would be our bug, and must not be stored. */
static const char *const mistyped[] = {
	"{\"name\":5}",	      "{\"name\":[]}",	  "{\"size\":\"5\"}",
	"{\"size\":1.5}",     "{\"at\":\"now\"}", "{\"at\":true}",
	"{\"parent\":\"x\"}", "{\"parent\":{}}",  "{\"parent\":{\"id\":4}}",
	"{\"key\":5}",	      "{\"id\":7}",
};

static void test_mistyped(void **state)
{
	struct keyring *k = ring(KEYS);
	struct sql s;

	(void)state;
	assert_int_equal(sql_init(&s, &things, NULL), 0);
	for (size_t i = 0; i < array_len(mistyped); i++) {
		const char *params[SQL_FIELDS_MAX];
		struct err e = ERR_INIT;
		json_t *row = json(mistyped[i]);
		struct arena a;

		arena_init(&a, 0);
		if (rows_encode(&s, k, row, &a, params, &e) == 0)
			fail_msg("%s", mistyped[i]);
		assert_int_equal(e.kind, ERR_INTERNAL);
		arena_deinit(&a);
		json_decref(row);
	}
	sql_deinit(&s);
	keyring_free(k);
}

static const struct {
	unsigned type; /* oid in pg_type */
	const char *text, *want;
} plain[] = {
	{25, "x", "\"x\""},
	{25, NULL, "null"},
	{25, "", "\"\""},
	{16, "t", "true"},
	{16, "f", "false"},
	{20, "-9223372036854775808", "-9223372036854775808"},
	{23, "42", "42"},
	{701, "0.5", "0.5"},
	{701, "NaN", "null"},
	{701, "-Infinity", "null"},
	{1700, "12", "12"},
	{1700, "12.25", "12.25"},
	{1700, "NaN", "null"},
	{3802, "{\"a\": [1]}", "{\"a\":[1]}"},
	{1184, "1970-01-01 00:00:10+00", "10.0"},
	{1184, "1970-01-01 00:00:10.5+00", "10.5"},
	{1184, "infinity", "null"},
	{1184, "-infinity", "null"},
	{1184, "0044-03-15 00:00:00+00 BC", NULL}, /* anything but a crash */
	{2950, ID, "\"" ID "\""},
};

static void test_plain(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(plain); i++) {
		static const char *const names[] = {"c"};
		struct pg_result r = {result_of(names, &plain[i].type, &plain[i].text, 1)};
		json_t *rows = rows_plain(&r, NULL);
		json_t *got = json_object_get(json_array_get(rows, 0), "c");
		json_t *want = plain[i].want ? json(plain[i].want) : json_incref(got);

		if (!json_equal(got, want))
			fail_msg("%u %s: %s", plain[i].type, plain[i].text,
				 json_dumps(got, JSON_ENCODE_ANY));
		json_decref(want);
		json_decref(rows);
		PQclear(r.r);
	}
}

struct scene {
	struct keyring *keys;
	struct sql sql;
	json_t *row;
};

static void without_memory(void *arg)
{
	const struct scene *x = arg;
	const char *params[SQL_FIELDS_MAX];
	struct err e = ERR_INIT;
	struct arena a;

	arena_init(&a, 0);
	if (rows_encode(&x->sql, x->keys, x->row, &a, params, &e) < 0)
		assert_int_equal(e.kind, ERR_MEMORY);
	arena_deinit(&a);
}

static void test_out_of_memory(void **state)
{
	struct scene x = {.keys = ring(KEYS), .row = json(FULL "\"k\"}")};

	(void)state;
	assert_int_equal(sql_init(&x.sql, &things, NULL), 0);
	assert_true(oom_each(without_memory, &x) > 0);
	sql_deinit(&x.sql);
	json_decref(x.row);
	keyring_free(x.keys);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_secret_does_not_open),
		cmocka_unit_test(test_nulls),
		cmocka_unit_test(test_mistyped),
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_out_of_memory),
		cmocka_unit_test(test_transient_members),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
