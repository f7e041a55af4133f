/* sync/decode: "keep what you have", and which entity a bad change is about. */
#include "data-plane/sync/decode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/lib/testchange.h"

enum { ID = 7 };

/* A PlaneMessage around a Change: field 2. */
static struct str wrap(struct buf *out, struct str change)
{
	unsigned char head[] = {2 << 3 | 2, (unsigned char)change.len};

	assert_true(change.len < 128);
	buf_clear(out);
	assert_int_equal(buf_add(out, head, sizeof(head), NULL), 0);
	assert_int_equal(buf_add_str(out, change, NULL), 0);
	return buf_str(out);
}

static void test_held(void **state)
{
	struct buf change = BUF_INIT;
	struct buf whole = BUF_INIT;

	(void)state;
	for (unsigned k = 0; k < CHANGE_KINDS; k++) {
		const char *name = change_kind_name((enum change_kind)k);
		struct plane_message m;

		assert_int_equal(
			plane_message_decode(&m, wrap(&whole, testchange_held(&change, ID, name)),
					     NULL),
			0);
		assert_true(m.change.held);
		assert_false(m.change.removed);
		assert_int_equal(m.change.kind, k);
		assert_int_equal(m.change.id[15], ID);
		assert_true(str_eq(m.change.encoded, buf_str(&change)));
		plane_message_free(&m);
	}
	buf_deinit(&change);
	buf_deinit(&whole);
}

static struct str no_pairs(struct buf *out)
{
	return testchange_certificate(out, ID, NULL, 0);
}

static struct str no_name(struct buf *out)
{
	return testchange_sni(out, ID, "", 1);
}

static struct str no_token(struct buf *out)
{
	return testchange_challenge(out, ID, "a.example", "", "k");
}

static struct str held_unknown(struct buf *out)
{
	return testchange_held(out, ID, "snisx");
}

static struct str held_nothing(struct buf *out)
{
	return testchange_held(out, ID, "");
}

static struct str removed_unknown(struct buf *out)
{
	return testchange_removed(out, ID, "gadgets");
}

static void test_bad_changes_name_their_entity(void **state)
{
	static const struct {
		const char *name;
		struct str (*make)(struct buf *out);
		bool named;
		enum change_kind kind;
	} rows[] = {
		{"certificate without a pair", no_pairs, true, CHANGE_CERTIFICATE},
		{"sni without a name", no_name, true, CHANGE_SNI},
		{"challenge without a token", no_token, true, CHANGE_CHALLENGE},
		{"hold of an unknown kind", held_unknown, false, CHANGE_KINDS},
		{"hold of nothing", held_nothing, false, CHANGE_KINDS},
		{"removal of an unknown kind", removed_unknown, false, CHANGE_KINDS},
	};
	struct buf change = BUF_INIT;
	struct buf whole = BUF_INIT;

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct plane_message m = {.named = !rows[i].named};
		struct err e = ERR_INIT;

		if (plane_message_decode(&m, wrap(&whole, rows[i].make(&change)), &e) == 0 ||
		    e.kind != ERR_CONFLICT || m.named != rows[i].named)
			fail_msg("%s: %s", rows[i].name, e.message);
		if (m.named) {
			assert_int_equal(m.change.kind, rows[i].kind);
			assert_int_equal(m.change.id[0], ID);
		}
	}
	buf_deinit(&change);
	buf_deinit(&whole);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_held),
		cmocka_unit_test(test_bad_changes_name_their_entity),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
