/* Field tables to SQL. That PostgreSQL takes it is test_store's part. */
#include "control-plane/store/sql.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/lib/oom.h"

static const struct field text_element = {.name = "e", .type = FIELD_STRING};
static const struct field number_element = {.name = "e", .type = FIELD_INTEGER};
static const struct field fields[] = {
	{.name = "name", .type = FIELD_STRING, .flags = FIELD_CASELESS},
	{.name = "size", .type = FIELD_INTEGER},
	{.name = "share", .type = FIELD_NUMBER},
	{.name = "open", .type = FIELD_BOOLEAN},
	{.name = "other", .type = FIELD_UUID},
	{.name = "at", .type = FIELD_TIMESTAMP},
	{.name = "parent", .type = FIELD_FOREIGN, .reference = "certificates"},
	{.name = "words", .type = FIELD_SET, .elements = &text_element},
	{.name = "counts", .type = FIELD_ARRAY, .elements = &number_element},
	{.name = "config", .type = FIELD_RECORD},
	{.name = "key", .type = FIELD_STRING, .flags = FIELD_SECRET},
	{.name = "shown", .type = FIELD_ARRAY, .elements = &text_element, .flags = FIELD_TRANSIENT},
};
static const struct entity things = {
	.name = "things",
	.singular = "thing",
	.endpoint_key = "name",
	.fields = fields,
	.field_count = array_len(fields),
};

static const struct {
	size_t statement; /* offset in struct sql */
	const char *part;
	bool in; /* or must not be */
} parts[] = {
	{offsetof(struct sql, columns), "t.name, t.size, t.share, t.open", true},
	{offsetof(struct sql, columns), "floor(extract(epoch FROM t.at))::bigint", true},
	{offsetof(struct sql, columns), "to_jsonb(t.words)", true},
	{offsetof(struct sql, columns), "t.shown", false},
	{offsetof(struct sql, columns), ", t.version", true},
	{offsetof(struct sql, insert), "INSERT INTO things (id, ", true},
	{offsetof(struct sql, insert), "::text", true},
	{offsetof(struct sql, insert), "::bigint", true},
	{offsetof(struct sql, insert), "::float8", true},
	{offsetof(struct sql, insert), "::boolean", true},
	{offsetof(struct sql, insert), "::uuid", true},
	{offsetof(struct sql, insert), "to_timestamp($", true},
	{offsetof(struct sql, insert), "jsonb_array_elements_text($", true},
	{offsetof(struct sql, insert), "::bytea", true},
	{offsetof(struct sql, insert), "shown", false},
	{offsetof(struct sql, update), "size = $", true},
	{offsetof(struct sql, update), "SET id", false},
	{offsetof(struct sql, update), " shown", false},
	{offsetof(struct sql, update), "'the thing is gone or was changed'", true},
	{offsetof(struct sql, upsert), "ON CONFLICT (id) DO UPDATE SET", true},
	{offsetof(struct sql, upsert), "id = excluded.id", false},
	{offsetof(struct sql, upsert), "version = nextval('row_versions')", true},
	{offsetof(struct sql, delete_any), "CA001", false},
	{offsetof(struct sql, delete_must), "CA001", true},
	{offsetof(struct sql, get_key), "lower(t.name) = lower($1)", true},
	{offsetof(struct sql, changed), "LIMIT $2::bigint", true},
	{offsetof(struct sql, changed), "jsonb_agg", false},
	{offsetof(struct sql, cursor), "ORDER BY c.revision", true},
	{offsetof(struct sql, cursor), "NOT c.removed", false},
	{offsetof(struct sql, cursor), "$1", false},
	{offsetof(struct sql, cursor_changed), "c.revision > $1::bigint", true},
};

static const char *statement(const struct sql *s, size_t offset)
{
	const struct buf *b = (const struct buf *)(const void *)((const char *)s + offset);

	return b->data ? b->data : "";
}

static void test_parts(void **state)
{
	struct sql s;

	(void)state;
	assert_int_equal(sql_init(&s, &things, NULL), 0);
	for (size_t i = 0; i < array_len(parts); i++) {
		const char *text = statement(&s, parts[i].statement);

		if (!strstr(text, parts[i].part) == parts[i].in)
			fail_msg("%s %s: %s", parts[i].in ? "without" : "with", parts[i].part,
				 text);
	}
	sql_deinit(&s);
}

/* The shorthand lists the entity that refers back: certificates.snis. */
static void test_shorthand(void **state)
{
	struct sql s;

	(void)state;
	assert_int_equal(sql_init(&s, &entity_certificates, NULL), 0);
	assert_non_null(strstr(s.columns.data, "FROM snis x WHERE x.certificate = t.id"));
	assert_null(strstr(s.columns_stored.data, "snis"));
	assert_int_equal(s.read_count, s.write_count + 1);
	assert_int_equal(s.get_key.len, 0); /* certificates have no endpoint key */
	sql_deinit(&s);
}

/* The highest $n of a statement. */
static unsigned placeholders(const char *text)
{
	unsigned most = 0;

	for (const char *at = text; (at = strchr(at, '$')); at++) {
		unsigned n = 0;

		for (const char *d = at + 1; *d >= '0' && *d <= '9'; d++)
			n = n * 10 + (unsigned)(*d - '0');
		most = n > most ? n : most;
	}
	return most;
}

static void test_every_entity(void **state)
{
	const struct entity *t;

	(void)state;
	for (size_t i = 0; (t = entity_at(i)); i++) {
		struct sql s;

		assert_int_equal(sql_init(&s, t, NULL), 0);
		assert_string_equal(s.write[0]->name, "id");
		assert_int_equal(placeholders(s.insert.data), s.write_count);
		assert_int_equal(placeholders(s.upsert.data), s.write_count);
		assert_int_equal(placeholders(s.update.data), s.write_count + 1);
		assert_int_equal(placeholders(s.delete_any.data), 1);
		assert_int_equal(placeholders(s.delete_must.data), 1);
		assert_int_equal(placeholders(s.get_id.data), 1);
		assert_int_equal(placeholders(s.changed.data), 2);
		assert_int_equal(placeholders(s.cursor.data), 0);
		sql_deinit(&s);
	}
}

static void test_too_many_fields(void **state)
{
	struct field many[SQL_FIELDS_MAX + 1];
	const struct entity t = {.name = "many", .fields = many, .field_count = array_len(many)};
	struct err e = ERR_INIT;
	struct sql s;

	(void)state;
	for (size_t i = 0; i < array_len(many); i++)
		many[i] = fields[0];
	assert_int_equal(sql_init(&s, &t, &e), -1);
	assert_int_equal(e.kind, ERR_LIMIT);
	assert_non_null(strstr(e.message, "many has more than"));
}

static void test_text_lists(void **state)
{
	static const bool want[array_len(fields)] = {[7] = true, [11] = true};

	(void)state;
	for (size_t i = 0; i < array_len(fields); i++)
		assert_int_equal(sql_is_text_list(&fields[i]), want[i]);
}

static void without_memory(void *arg)
{
	struct err e = ERR_INIT;
	struct sql s;

	(void)arg;
	if (sql_init(&s, &entity_snis, &e) == 0)
		sql_deinit(&s);
	else
		assert_int_equal(e.kind, ERR_MEMORY);
}

static void test_out_of_memory(void **state)
{
	(void)state;
	assert_true(oom_each(without_memory, NULL) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parts),	     cmocka_unit_test(test_shorthand),
		cmocka_unit_test(test_every_entity), cmocka_unit_test(test_too_many_fields),
		cmocka_unit_test(test_text_lists),   cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
