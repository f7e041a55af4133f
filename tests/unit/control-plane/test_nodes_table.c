/* The nodes table against a fake store that keeps what it is asked and answers when told. */
#include "control-plane/fleet/nodes_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/core/codec.h"
#include "tests/unit/lib/loop_fixture.h"

#define SELF "00000000-0000-4000-8000-0000000000c1"
#define OTHER "00000000-0000-4000-8000-0000000000c2"

enum { QUERIES_MAX = 32 };

struct query {
	char what[8];
	json_t *rows, *payloads; /* of a write */
	store_done done;
	void *arg;
};

struct store {
	struct query queries[QUERIES_MAX];
	size_t asked, answered;
};

static struct query *ask(struct store *s, const char *what, store_done done, void *arg)
{
	struct query *q = &s->queries[s->asked++];

	assert_true(s->asked < QUERIES_MAX);
	snprintf(q->what, sizeof(q->what), "%s", what);
	q->done = done;
	q->arg = arg;
	return q;
}

void store_nodes_write(struct store *s, const char *self, const json_t *rows,
		       const json_t *payloads, store_done done, void *arg)
{
	struct query *q = ask(s, "write", done, arg);

	assert_string_equal(self, SELF);
	q->rows = json_deep_copy(rows);
	q->payloads = json_deep_copy(payloads);
	assert_true(json_is_array(q->rows));
	assert_true(json_is_array(q->payloads));
}

void store_nodes_read(struct store *s, const char *self, uint64_t keep_s, store_done done,
		      void *arg)
{
	assert_string_equal(self, SELF);
	/* The grace of setup, and half a minute. */
	assert_int_equal(keep_s, 35);
	ask(s, "read", done, arg);
}

void store_nodes_list(struct store *s, store_done done, void *arg)
{
	ask(s, "other", done, arg);
}

void store_nodes_beat(struct store *s, const char *self, store_done done, void *arg)
{
	assert_string_equal(self, SELF);
	ask(s, "other", done, arg);
}

void store_nodes_purge(struct store *s, store_done done, void *arg)
{
	ask(s, "other", done, arg);
}

struct bench {
	struct loop_fixture f;
	struct store store;
	struct nodes_table table;
	char rows[16384]; /* what was told: id@revision+ (connected) or - */
	uint64_t view;
	uint32_t hits;
	bool closed;
};

/* The oldest query that is open; rows may be NULL. */
static void answer(struct bench *b, const char *want, json_t *rows, enum err_kind kind)
{
	struct query *q = &b->store.queries[b->store.answered++];
	struct store_result r = {.rows = rows};

	assert_true(b->store.answered <= b->store.asked);
	assert_string_equal(q->what, want);
	if (kind != ERR_NONE)
		(void)err_set(&r.err, kind, "no database");
	json_decref(q->rows);
	json_decref(q->payloads);
	q->done(&r, q->arg);
	json_decref(rows);
}

static struct query *open_query(struct bench *b, const char *want)
{
	run_until(&b->f, b->store.asked > b->store.answered);
	assert_string_equal(b->store.queries[b->store.answered].what, want);
	return &b->store.queries[b->store.answered];
}

static void on_row(const struct nodes_row *row, void *arg)
{
	struct bench *b = arg;
	size_t n = strlen(b->rows);

	snprintf(b->rows + n, sizeof(b->rows) - n, "%s@%d%s ", row->id, (int)row->revision,
		 row->connected ? "+" : "-");
}

static void on_view(uint64_t view, void *arg)
{
	((struct bench *)arg)->view = view;
}

static void on_hit(const char *challenge_id, const char *node_id, uint32_t count, void *arg)
{
	assert_string_equal(challenge_id, "ch");
	assert_string_equal(node_id, "n1");
	((struct bench *)arg)->hits += count;
}

static void setup(struct bench *b)
{
	const struct nodes_events ev = {on_row, on_view, on_hit, b};

	memset(b, 0, sizeof(*b));
	fixture_init(&b->f);
	assert_int_equal(nodes_table_init(&b->table, &b->f.loop, &b->store, SELF, 5000, &ev, NULL),
			 0);
	answer(b, "read", json_array(), ERR_NONE);
	assert_int_equal(b->view, 1);
}

static void on_closed(void *arg)
{
	*(bool *)arg = true;
}

static void teardown(struct bench *b)
{
	nodes_table_close(&b->table, on_closed, &b->closed);
	fixture_spin(&b->f, 3);
	while (b->store.answered < b->store.asked)
		answer(b, b->store.queries[b->store.answered].what, NULL, ERR_UNAVAILABLE);
	run_until(&b->f, b->closed);
	fixture_deinit(&b->f);
}

static void put(struct bench *b, const char *id, int revision)
{
	nodes_table_put(&b->table, id,
			json_pack("{s:s, s:s, s:i, s:b}", "id", id, "epoch", "e", "revision",
				  revision, "connected", 1));
}

static json_int_t revision_of(json_t *rows, size_t i)
{
	return json_integer_value(json_object_get(json_array_get(rows, i), "revision"));
}

static void test_writes_are_coalesced(void **state)
{
	struct bench b;
	struct query *q;

	(void)state;
	setup(&b);
	put(&b, "n1", 1);
	put(&b, "n1", 2);
	put(&b, "n2", 1);
	assert_int_equal(b.store.asked, b.store.answered); /* not from inside put */
	q = open_query(&b, "write");
	assert_int_equal(json_array_size(q->rows), 2);
	assert_int_equal(revision_of(q->rows, 0), 2);
	/* One at a time; what comes meanwhile goes together. */
	put(&b, "n1", 3);
	put(&b, "n1", 4);
	fixture_spin(&b.f, 5);
	assert_int_equal(b.store.asked, b.store.answered + 1);
	answer(&b, "write", NULL, ERR_NONE);
	q = open_query(&b, "write");
	assert_int_equal(json_array_size(q->rows), 1);
	assert_int_equal(revision_of(q->rows, 0), 4);
	answer(&b, "write", NULL, ERR_NONE);
	fixture_spin(&b.f, 5);
	assert_int_equal(b.store.asked, b.store.answered);
	teardown(&b);
}

static void test_database_away(void **state)
{
	struct bench b;
	struct query *q;

	(void)state;
	setup(&b);
	put(&b, "n1", 1);
	put(&b, "n2", 1);
	open_query(&b, "write");
	put(&b, "n1", 2); /* newer than what fails */
	answer(&b, "write", NULL, ERR_UNAVAILABLE);
	q = open_query(&b, "write");
	assert_int_equal(json_array_size(q->rows), 2);
	for (size_t i = 0; i < 2; i++) {
		const char *id =
			json_string_value(json_object_get(json_array_get(q->rows, i), "id"));
		assert_int_equal(revision_of(q->rows, i), strcmp(id, "n1") == 0 ? 2 : 1);
	}
	answer(&b, "write", NULL, ERR_NONE);
	teardown(&b);
}

/* What one control plane notifies is what another is told; payloads stay below 8,000 bytes. */
static void test_notifications(void **state)
{
	struct bench b;
	struct query *q;
	char id[UUID_TEXT_SIZE];
	size_t i;
	json_t *payload;
	size_t nodes = 0;

	(void)state;
	setup(&b);
	for (int n = 0; n < 200; n++) {
		snprintf(id, sizeof(id), "00000000-0000-4000-8000-%012d", n);
		nodes_table_put(
			&b.table, id,
			json_pack("{s:s, s:s, s:I, s:b}", "id", id, "epoch",
				  "d9b1f6a2-1111-4222-8333-444455556666.7123456789012345678.1",
				  "revision", (json_int_t)INT64_MAX, "connected", n % 2));
	}
	nodes_table_hit(&b.table, "ch", "n1", 3);
	nodes_table_hit(&b.table, "ch", "n1", 4);
	q = open_query(&b, "write");
	json_array_foreach(q->payloads, i, payload)
	{
		const char *text = json_string_value(payload);
		struct bench other;

		assert_true(strlen(text) < 8000);
		/* Its own are no news. */
		nodes_table_notified(&b.table, text);
		assert_string_equal(b.rows, "");
		/* Another one's are. */
		memset(&other, 0, sizeof(other));
		other.table.self = OTHER;
		other.table.events = (struct nodes_events){on_row, on_view, on_hit, &other};
		nodes_table_notified(&other.table, text);
		b.hits += other.hits;
		for (const char *p = other.rows; (p = strchr(p, '@')); p++)
			nodes++;
	}
	assert_int_equal(b.hits, 7);
	assert_int_equal(json_array_size(q->payloads), 8);
	assert_int_equal(nodes, 200);
	answer(&b, "write", NULL, ERR_NONE);
	teardown(&b);
}

static void test_bad_notifications(void **state)
{
	static const char *const rows[] = {
		"",
		"x",
		"null",
		"[]",
		"{}",
		"{\"cp\":1,\"nodes\":7,\"hits\":\"x\"}",
		"{\"cp\":\"" OTHER "\",\"nodes\":{},\"hits\":{}}",
		"{\"cp\":\"" SELF "\",\"nodes\":[{\"i\":\"n\",\"r\":1,\"c\":true}]}",
		"{\"cp\":\"" OTHER "\",\"nodes\":[",
	};
	struct bench b;

	(void)state;
	setup(&b);
	for (size_t i = 0; i < array_len(rows); i++)
		nodes_table_notified(&b.table, rows[i]);
	assert_string_equal(b.rows, "");
	nodes_table_notified(&b.table, "{\"cp\":\"" OTHER "\",\"nodes\":[{\"i\":\"n\",\"r\":-4}]}");
	assert_string_equal(b.rows, "n@0- ");
	teardown(&b);
}

static void test_views(void **state)
{
	struct bench b;

	(void)state;
	setup(&b);
	assert_int_equal(nodes_table_refresh(&b.table), 2);
	/* The one under way may have missed what is asked about now: one more after it. */
	assert_int_equal(nodes_table_refresh(&b.table), 3);
	assert_int_equal(nodes_table_refresh(&b.table), 3);
	answer(&b, "read",
	       json_pack("[{s:s, s:s, s:s, s:i, s:b, s:i}]", "id", "n9", "hostname", "h", "epoch",
			 "e", "revision", 7, "connected", 1, "age", 10),
	       ERR_NONE);
	assert_string_equal(b.rows, "n9@7+ ");
	assert_int_equal(b.view, 2);
	answer(&b, "read", NULL, ERR_UNAVAILABLE);
	assert_int_equal(b.view, 2);
	assert_int_equal(nodes_table_refresh(&b.table), 4);
	answer(&b, "read", json_array(), ERR_NONE);
	assert_int_equal(b.view, 4);
	teardown(&b);
}

static void test_close_writes_what_is_left(void **state)
{
	struct bench b;

	(void)state;
	setup(&b);
	put(&b, "n1", 1);
	nodes_table_close(&b.table, on_closed, &b.closed);
	fixture_spin(&b.f, 5);
	assert_false(b.closed);
	answer(&b, "write", NULL, ERR_NONE);
	run_until(&b.f, b.closed);
	fixture_deinit(&b.f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_writes_are_coalesced),
		cmocka_unit_test(test_database_away),
		cmocka_unit_test(test_notifications),
		cmocka_unit_test(test_bad_notifications),
		cmocka_unit_test(test_views),
		cmocka_unit_test(test_close_writes_what_is_left),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
