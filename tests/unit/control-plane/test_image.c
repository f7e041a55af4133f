#include "control-plane/fleet/image.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/lib/oom.h"

static const struct entity challenges = {.name = "acme_challenges"};
static const struct entity snis = {.name = "snis"};

static void id_text(char out[UUID_TEXT_SIZE], char c)
{
	snprintf(out, UUID_TEXT_SIZE, "00000000-0000-4000-8000-0000000000%02x", (unsigned char)c);
}

static json_t *row(const char *token)
{
	return json_pack("{s:s, s:s, s:s}", "host", "a.com", "token", token, "key_authorization",
			 "k");
}

/* Entities are named by one letter, which is the last byte of their id. */
static void put(struct image *m, char c, uint64_t revision)
{
	char id[UUID_TEXT_SIZE];
	struct err e = ERR_INIT;
	json_t *r = row("t");

	id_text(id, c);
	if (image_put(m, &challenges, id, r, revision, &e))
		fail_msg("%s", e.message);
	json_decref(r);
}

static void drop(struct image *m, char c, uint64_t revision)
{
	char id[UUID_TEXT_SIZE];

	id_text(id, c);
	assert_int_equal(image_put(m, &challenges, id, NULL, revision, NULL), 0);
}

/* What a cursor meets from where it stands: letters, removed ones in upper case. */
static const char *rest(struct image *m, struct image_cursor *c)
{
	static char out[64];
	size_t n = 0;
	const struct image_item *it;

	while ((it = image_cursor_next(m, c)) && n < sizeof(out) - 1)
		out[n++] = (char)(it->removed ? it->id[15] - 32 : it->id[15]);
	out[n] = '\0';
	return out;
}

static const char *after(struct image *m, uint64_t held)
{
	struct image_cursor c;
	const char *out;

	image_cursor_init(&c);
	image_cursor_after(m, &c, held);
	out = rest(m, &c);
	image_cursor_stop(&c);
	return out;
}

static void loaded(struct image *m)
{
	image_init(m);
	image_reset(m, "e");
	put(m, 'a', 3);
	put(m, 'b', 5);
	put(m, 'c', 5);
	drop(m, 'x', 9);
	put(m, 'd', 12);
	image_commit(m, 12, 2);
}

static void test_snapshot_and_deltas(void **state)
{
	static const struct {
		uint64_t held;
		const char *want;
	} rows[] = {{0, "abcXd"}, {2, "abcXd"}, {3, "bcXd"}, {4, "bcXd"}, {5, "Xd"},
		    {8, "Xd"},	  {9, "d"},	{11, "d"},   {12, ""},	  {99, ""}};
	struct image m;
	struct image_cursor c;

	(void)state;
	loaded(&m);
	assert_true(m.ready);
	assert_int_equal(m.revision, 12);
	assert_int_equal(m.live, 4);
	assert_string_equal(m.epoch, "e");
	for (size_t i = 0; i < array_len(rows); i++)
		assert_string_equal(after(&m, rows[i].held), rows[i].want);
	image_cursor_init(&c);
	image_cursor_first(&m, &c);
	assert_string_equal(rest(&m, &c), "abcXd");
	assert_null(image_cursor_next(&m, &c));
	image_cursor_stop(&c);
	image_deinit(&m);
}

static bool suspect(struct image *m, char c, uint64_t revision)
{
	char id[UUID_TEXT_SIZE];

	id_text(id, c);
	return image_suspect(m, &challenges, id, revision);
}

static bool is_suspect(const struct image *m, char c)
{
	char id[UUID_TEXT_SIZE];

	id_text(id, c);
	return image_is_suspect(m, &challenges, id);
}

static void hold(struct image *m, char c, uint64_t refused, uint64_t revision)
{
	char id[UUID_TEXT_SIZE];

	id_text(id, c);
	assert_int_equal(image_hold(m, &challenges, id, refused, revision, NULL), 0);
}

/* What a node refused: no cursor passes it, until the store noted it. */
static void test_refusals(void **state)
{
	struct image m;
	struct image_cursor behind, past;

	(void)state;
	loaded(&m);
	image_cursor_init(&behind);
	image_cursor_init(&past);
	image_cursor_after(&m, &behind, 3);
	image_cursor_after(&m, &past, 5);
	assert_false(suspect(&m, 'z', 99)); /* not there */
	assert_false(suspect(&m, 'b', 4));  /* changed since */
	assert_true(suspect(&m, 'b', 5));
	assert_true(is_suspect(&m, 'b'));
	assert_string_equal(rest(&m, &behind), "");
	assert_false(image_cursor_at_end(&m, &behind));
	assert_string_equal(rest(&m, &past), "Xd");
	assert_true(image_cursor_at_end(&m, &past));
	/* The refusal is a change of its own. */
	hold(&m, 'b', 5, 13);
	image_commit(&m, 13, 2);
	assert_false(is_suspect(&m, 'b'));
	assert_int_equal(m.held, 1);
	assert_int_equal(m.live, 4);
	assert_true(image_refused(&m, 5));
	assert_false(image_refused(&m, 13));
	assert_false(suspect(&m, 'b', 99)); /* held back already */
	assert_string_equal(rest(&m, &behind), "cXdb");
	assert_string_equal(rest(&m, &past), "b");
	assert_true(image_cursor_at_end(&m, &behind));
	/* The next change ends it. */
	put(&m, 'b', 14);
	image_commit(&m, 14, 2);
	assert_int_equal(m.held, 0);
	assert_false(image_refused(&m, 5));
	assert_string_equal(rest(&m, &behind), "b");
	/* So does a change while it is a suspect, and trust. */
	assert_true(suspect(&m, 'b', 14));
	drop(&m, 'b', 15);
	image_commit(&m, 15, 2);
	assert_false(is_suspect(&m, 'b'));
	assert_true(suspect(&m, 'c', 15));
	image_trust(&m, &challenges, "00000000-0000-4000-8000-000000000063");
	assert_false(is_suspect(&m, 'c'));
	/* A removal that was refused is no tombstone. */
	hold(&m, 'b', 15, 16);
	image_commit(&m, 16, 16);
	assert_string_equal(after(&m, 15), "b");
	image_cursor_stop(&behind);
	image_cursor_stop(&past);
	image_deinit(&m);
}

static void test_a_load_in_any_order(void **state)
{
	struct image m;

	(void)state;
	image_init(&m);
	image_reset(&m, "e");
	put(&m, 'd', 12);
	put(&m, 'a', 3);
	put(&m, 'c', 7);
	put(&m, 'b', 5);
	assert_false(m.ready);
	image_commit(&m, 12, 0);
	assert_string_equal(after(&m, 0), "abcd");
	assert_string_equal(after(&m, 5), "cd");
	image_deinit(&m);
}

/* A cursor goes on where it was while entities change around it. */
static void test_changes_under_cursors(void **state)
{
	struct image m;
	struct image_cursor slow, fast;

	(void)state;
	loaded(&m);
	image_cursor_init(&slow);
	image_cursor_init(&fast);
	image_cursor_first(&m, &slow);
	image_cursor_first(&m, &fast);
	assert_int_equal(image_cursor_next(&m, &slow)->id[15], 'a');
	assert_string_equal(rest(&m, &fast), "abcXd");
	put(&m, 'b', 13); /* not sent to slow yet */
	put(&m, 'a', 13); /* sent to slow */
	drop(&m, 'd', 13);
	assert_true(m.open);
	image_commit(&m, 13, 2);
	assert_false(m.open);
	put(&m, 'n', 14);
	image_commit(&m, 14, 2);
	assert_string_equal(rest(&m, &slow), "cXbaDn");
	assert_string_equal(rest(&m, &fast), "baDn");
	assert_int_equal(m.live, 4);
	/* Removed twice, and back to life. */
	drop(&m, 'd', 15);
	put(&m, 'x', 15);
	image_commit(&m, 15, 2);
	assert_string_equal(rest(&m, &slow), "Dx");
	assert_string_equal(rest(&m, &fast), "Dx");
	assert_int_equal(m.live, 5);
	image_cursor_stop(&slow);
	image_cursor_stop(&fast);
	image_deinit(&m);
}

/* A load gives kind after kind: removals come out of order. */
static void test_floor_forgets_loaded_tombstones(void **state)
{
	struct image m;

	(void)state;
	image_init(&m);
	image_reset(&m, "e1");
	drop(&m, 'a', 9);
	drop(&m, 'b', 3);
	put(&m, 'c', 5);
	image_commit(&m, 9, 0);
	assert_string_equal(after(&m, 0), "BcA");
	image_commit(&m, 9, 3);
	assert_string_equal(after(&m, 0), "cA");
	image_deinit(&m);
}

static void test_floor_forgets_tombstones(void **state)
{
	struct image m;
	struct image_cursor c;

	(void)state;
	loaded(&m);
	image_cursor_init(&c);
	image_cursor_after(&m, &c, 5);
	drop(&m, 'a', 13);
	drop(&m, 'b', 14);
	image_commit(&m, 14, 13);
	assert_int_equal(m.floor, 13);
	assert_string_equal(after(&m, 0), "cdB");
	assert_string_equal(rest(&m, &c), "dB");
	image_commit(&m, 14, 14);
	assert_string_equal(after(&m, 0), "cd");
	/* One that came back in time stays. */
	drop(&m, 'c', 15);
	put(&m, 'c', 16);
	image_commit(&m, 16, 16);
	assert_string_equal(after(&m, 0), "dc");
	image_cursor_stop(&c);
	image_deinit(&m);
}

/* Contract of the feed broken: a late change must still reach everybody. */
static void test_late_change_counts_as_newest(void **state)
{
	struct image m;
	struct image_cursor c;

	(void)state;
	loaded(&m);
	image_cursor_init(&c);
	image_cursor_after(&m, &c, 12);
	put(&m, 'l', 4);
	image_commit(&m, 13, 2);
	assert_string_equal(rest(&m, &c), "l");
	image_cursor_stop(&c);
	image_deinit(&m);
}

static void test_bad_row_keeps_the_last_good_state(void **state)
{
	struct image m;
	char id[UUID_TEXT_SIZE];
	struct err e = ERR_INIT;
	json_t *bad = json_object();

	(void)state;
	loaded(&m);
	id_text(id, 'a');
	assert_int_equal(image_put(&m, &challenges, id, bad, 13, &e), -1);
	assert_int_equal(e.kind, ERR_INVALID);
	id_text(id, 'q');
	assert_int_equal(image_put(&m, &challenges, id, bad, 13, &e), -1);
	assert_int_equal(image_put(&m, &challenges, "no uuid", bad, 13, &e), -1);
	image_commit(&m, 13, 2);
	assert_string_equal(after(&m, 0), "abcXd");
	assert_int_equal(m.revision, 13);
	assert_int_equal(m.live, 4);
	json_decref(bad);
	image_deinit(&m);
}

static void test_same_id_of_two_kinds(void **state)
{
	struct image m;
	char id[UUID_TEXT_SIZE];

	(void)state;
	loaded(&m);
	id_text(id, 'a');
	assert_int_equal(image_put(&m, &snis, id, NULL, 13, NULL), 0);
	image_commit(&m, 13, 2);
	assert_string_equal(after(&m, 0), "abcXdA");
	image_deinit(&m);
}

static void test_reset(void **state)
{
	struct image m;

	(void)state;
	loaded(&m);
	image_reset(&m, "another");
	assert_false(m.ready);
	assert_int_equal(m.live, 0);
	assert_string_equal(m.epoch, "another");
	put(&m, 'z', 1);
	image_commit(&m, 1, 0);
	assert_string_equal(after(&m, 0), "z");
	image_deinit(&m);
}

static void put_without_memory(void *arg)
{
	struct image m;
	json_t *r = row("t");
	char id[UUID_TEXT_SIZE];
	size_t bytes = 0;

	(void)arg;
	image_init(&m);
	image_reset(&m, "e");
	for (char c = 'd'; c >= 'a'; c--) {
		id_text(id, c);
		if (image_put(&m, &challenges, id, r, (uint64_t)c, NULL) == 0)
			bytes++;
	}
	image_commit(&m, 200, 0);
	assert_int_equal(m.live, bytes);
	assert_int_equal(strlen(after(&m, 0)), bytes);
	json_decref(r);
	image_deinit(&m);
}

static void test_out_of_memory(void **state)
{
	(void)state;
	assert_true(oom_each(put_without_memory, NULL) > 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_snapshot_and_deltas),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_a_load_in_any_order),
		cmocka_unit_test(test_changes_under_cursors),
		cmocka_unit_test(test_floor_forgets_tombstones),
		cmocka_unit_test(test_floor_forgets_loaded_tombstones),
		cmocka_unit_test(test_late_change_counts_as_newest),
		cmocka_unit_test(test_bad_row_keeps_the_last_good_state),
		cmocka_unit_test(test_same_id_of_two_kinds),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_out_of_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
