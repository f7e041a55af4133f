#include "control-plane/fleet/node.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/http/grpc.h"
#include "tests/unit/lib/wire.h"

static const struct entity challenges = {.name = "acme_challenges"};

/* An image of challenges named by a letter, a node, and what it was sent, as text:
 * "begin 3 | a b | commit 3/0 | ...": letters in upper case are removals, commit revision/since. */
struct bench {
	struct image image;
	struct node node;
	char sent[512];
	size_t room; /* messages until write says full; 0: no limit */
	uint64_t now_ms;
};

static void note(struct bench *b, const char *text)
{
	size_t n = strlen(b->sent);

	snprintf(b->sent + n, sizeof(b->sent) - n, "%s%s", n ? " " : "", text);
}

static bool write_message(struct str bytes, void *arg)
{
	struct bench *b = arg;
	const unsigned char *p = (const unsigned char *)bytes.ptr + GRPC_PREFIX_SIZE;
	size_t at = 1;
	size_t n = wire_varint(p, &at);
	char text[64];

	if (p[0] == 0x0a) {
		snprintf(text, sizeof(text), "begin %d", (int)wire_field(p + at, n, 2, NULL));
	} else if (p[0] == 0x1a) {
		snprintf(text, sizeof(text), "commit %d/%d", (int)wire_field(p + at, n, 2, NULL),
			 (int)wire_field(p + at, n, 3, NULL));
	} else {
		/* id is field 1 of 16 bytes; then the entity's own field: 15 is a removal */
		bool removed = p[at + 18] == (15 << 3 | 2);
		snprintf(text, sizeof(text), "%c", p[at + 17] - (removed ? 32 : 0));
	}
	note(b, text);
	return b->room == 0 || --b->room > 0;
}

static void set(struct bench *b, char c, bool removed, uint64_t revision)
{
	char id[UUID_TEXT_SIZE];
	json_t *row =
		json_pack("{s:s, s:s, s:s}", "host", "a", "token", "t", "key_authorization", "k");

	snprintf(id, sizeof(id), "00000000-0000-4000-8000-0000000000%02x", (unsigned char)c);
	assert_int_equal(
		image_put(&b->image, &challenges, id, removed ? NULL : row, revision, NULL), 0);
	json_decref(row);
}

static void commit(struct bench *b, uint64_t revision)
{
	b->image.seen_ms = b->now_ms;
	image_commit(&b->image, revision, b->image.floor);
	node_image_commit(&b->node, &b->image, b->now_ms);
}

static void setup(struct bench *b)
{
	memset(b, 0, sizeof(*b));
	image_init(&b->image);
	image_reset(&b->image, "e1");
	node_init(&b->node);
	set(b, 'a', false, 1);
	set(b, 'b', false, 2);
	set(b, 'x', true, 3);
	image_commit(&b->image, 3, 1);
}

static void teardown(struct bench *b)
{
	node_leave(&b->node);
	assert_int_equal(b->node.state, NODE_GONE);
	node_deinit(&b->node);
	image_deinit(&b->image);
}

static int hello(struct bench *b, const char *epoch, uint64_t revision)
{
	struct node_message m = {.kind = NODE_MESSAGE_HELLO,
				 .node_id = "00000000-0000-4000-8000-000000000001",
				 .hostname = "dp1",
				 .version = "1",
				 .epoch = epoch,
				 .revision = revision,
				 .labels = json_object()};
	int rc = node_hello(&b->node, &b->image, &m, b->now_ms, NULL);

	json_decref(m.labels);
	return rc;
}

static int nack(struct bench *b, uint64_t revision)
{
	const struct node_message m = {.kind = NODE_MESSAGE_NACK,
				       .revision = revision,
				       .entity_kind = "acme_challenges",
				       .entity_id = "00000000-0000-4000-8000-000000000061",
				       .reason = "bad"};

	return node_nack(&b->node, &b->image, &m, b->now_ms, NULL);
}

static const char *pump(struct bench *b, size_t budget, enum node_pump want)
{
	const struct node_sink sink = {write_message, b};
	enum node_pump got;

	b->sent[0] = '\0';
	assert_int_equal(node_pump(&b->node, &b->image, &sink, budget, &got, NULL), 0);
	assert_int_equal(got, want);
	return b->sent;
}

#define sends(b, text) assert_string_equal(pump(b, 100000, NODE_PUMP_DONE), text)

static void test_start(void **state)
{
	static const struct {
		const char *name, *epoch;
		uint64_t held, floor;
		const char *want;
		uint64_t acked;
	} rows[] = {
		{"holds nothing", "", 0, 1, "begin 3 a b commit 3/0", 0},
		{"up to date", "e1", 3, 1, "commit 3/3", 3},
		{"behind", "e1", 1, 1, "b X commit 3/1", 1},
		{"below the floor", "e1", 1, 2, "begin 3 a b commit 3/0", 1},
		{"at the floor", "e1", 2, 2, "X commit 3/2", 2},
		{"another epoch, same revision", "e0", 3, 1, "begin 3 a b commit 3/0", 0},
		{"another epoch, ahead", "e0", 99, 1, "begin 3 a b commit 3/0", 0},
		{"revision without epoch", "", 2, 1, "begin 3 a b commit 3/0", 0},
		{"epoch without revision", "e1", 0, 0, "a b X commit 3/0", 0},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct bench b;

		setup(&b);
		b.image.floor = rows[i].floor;
		assert_false(node_wants(&b.node));
		assert_int_equal(hello(&b, rows[i].epoch, rows[i].held), 0);
		assert_int_equal(node_acked(&b.node), rows[i].acked);
		assert_true(node_wants(&b.node));
		if (strcmp(pump(&b, 100000, NODE_PUMP_DONE), rows[i].want) != 0)
			fail_msg("%s: %s", rows[i].name, b.sent);
		assert_int_equal(b.node.state, NODE_CURRENT);
		sends(&b, "");
		teardown(&b);
	}
}

static void test_deltas_follow(void **state)
{
	struct bench b;

	(void)state;
	setup(&b);
	assert_int_equal(hello(&b, "e1", 3), 0);
	sends(&b, "commit 3/3");
	set(&b, 'c', false, 4);
	/* Not before the batch is whole. */
	assert_false(node_wants(&b.node));
	set(&b, 'a', true, 5);
	commit(&b, 5);
	sends(&b, "c A commit 5/3");
	assert_int_equal(node_ack(&b.node, 5, NULL), 0);
	assert_int_equal(node_acked(&b.node), 5);
	/* A revision that changes nothing here still asks for an ack. */
	commit(&b, 6);
	sends(&b, "commit 6/5");
	commit(&b, 6);
	assert_false(node_wants(&b.node));
	teardown(&b);
}

static void test_slices(void **state)
{
	struct bench b;

	(void)state;
	setup(&b);
	assert_int_equal(hello(&b, "", 0), 0);
	assert_string_equal(pump(&b, 1, NODE_PUMP_MORE), "begin 3 a");
	/* While the snapshot is under way: a changes again, b goes, c comes. */
	set(&b, 'a', false, 4);
	set(&b, 'b', true, 5);
	sends(&b, "a B"); /* open: no commit yet; x was removed before the snapshot */
	set(&b, 'c', false, 6);
	commit(&b, 6);
	sends(&b, "c commit 6/0");
	teardown(&b);
}

static void test_full_connection(void **state)
{
	struct bench b;

	(void)state;
	setup(&b);
	b.room = 2;
	assert_int_equal(hello(&b, "", 0), 0);
	assert_string_equal(pump(&b, 100000, NODE_PUMP_FULL), "begin 3 a");
	sends(&b, "b commit 3/0");
	teardown(&b);
}

/* So slow that removals which it was still to be sent were forgotten meanwhile. */
static void test_floor_passes_a_slow_node(void **state)
{
	struct bench b;

	(void)state;
	setup(&b);
	assert_int_equal(hello(&b, "e1", 1), 0);
	assert_string_equal(pump(&b, 1, NODE_PUMP_MORE), "b");
	image_commit(&b.image, 3, 3);
	assert_string_equal(pump(&b, 100000, NODE_PUMP_MORE), "");
	sends(&b, "begin 3 a b commit 3/0");
	teardown(&b);

	setup(&b);
	assert_int_equal(hello(&b, "", 0), 0);
	assert_string_equal(pump(&b, 1, NODE_PUMP_MORE), "begin 3 a");
	set(&b, 'a', true, 4);
	image_commit(&b.image, 4, 4);
	assert_string_equal(pump(&b, 100000, NODE_PUMP_MORE), "b");
	sends(&b, "begin 4 b commit 4/0");
	teardown(&b);
}

static void test_nack(void **state)
{
	struct bench b;

	(void)state;
	setup(&b);
	assert_int_equal(hello(&b, "e1", 3), 0);
	sends(&b, "commit 3/3");
	set(&b, 'c', false, 4);
	commit(&b, 4);
	sends(&b, "c commit 4/3");
	/* Refused: not offered again. */
	assert_int_equal(nack(&b, 4), 0);
	assert_int_equal(b.node.state, NODE_REFUSED);
	assert_int_equal(b.node.nack.revision, 4);
	assert_string_equal(b.node.nack.reason, "bad");
	commit(&b, 4);
	sends(&b, "");
	assert_int_equal(node_acked(&b.node), 3);
	/* The next revision carries everything since the ack. */
	set(&b, 'd', false, 5);
	commit(&b, 5);
	sends(&b, "c d commit 5/3");
	assert_int_equal(b.node.nack.revision, 4);
	assert_int_equal(node_ack(&b.node, 5, NULL), 0);
	assert_int_equal(b.node.nack.revision, 0);
	teardown(&b);
}

/* A later revision was sent before the refusal came. */
static void test_nack_of_an_older_revision(void **state)
{
	struct bench b;

	(void)state;
	setup(&b);
	assert_int_equal(hello(&b, "e1", 3), 0);
	sends(&b, "commit 3/3");
	set(&b, 'c', false, 4);
	commit(&b, 4);
	sends(&b, "c commit 4/3");
	set(&b, 'd', false, 5);
	commit(&b, 5);
	sends(&b, "d commit 5/4");
	assert_int_equal(nack(&b, 4), 0);
	sends(&b, "c d commit 5/3");
	teardown(&b);
}

static void test_nack_of_a_snapshot(void **state)
{
	struct bench b;

	(void)state;
	setup(&b);
	assert_int_equal(hello(&b, "e0", 9), 0);
	sends(&b, "begin 3 a b commit 3/0");
	assert_int_equal(nack(&b, 3), 0);
	sends(&b, "");
	set(&b, 'a', true, 4);
	commit(&b, 4);
	sends(&b, "begin 4 b commit 4/0");
	assert_int_equal(node_ack(&b.node, 4, NULL), 0);
	set(&b, 'c', false, 5);
	commit(&b, 5);
	sends(&b, "c commit 5/4");
	teardown(&b);
}

/* Nothing is sent behind a suspect, nor committed over it; the noted refusal carries the rest. */
static void test_suspect(void **state)
{
	static const char id[] = "00000000-0000-4000-8000-000000000063"; /* c */
	struct bench b;

	(void)state;
	setup(&b);
	assert_int_equal(hello(&b, "e1", 3), 0);
	sends(&b, "commit 3/3");
	set(&b, 'c', false, 4);
	set(&b, 'd', false, 5);
	assert_true(image_suspect(&b.image, &challenges, id, 4)); /* by another node */
	commit(&b, 5);
	sends(&b, "");
	assert_true(node_wants(&b.node));
	assert_int_equal(image_hold(&b.image, &challenges, id, 4, 6, NULL), 0);
	commit(&b, 6);
	sends(&b, "d c commit 6/3"); /* c: "keep what you have" */
	teardown(&b);
}

static void test_broken_contract(void **state)
{
	struct bench b;

	(void)state;
	setup(&b);
	assert_int_equal(node_ack(&b.node, 0, NULL), -1);
	assert_int_equal(nack(&b, 0), -1);
	assert_int_equal(hello(&b, "", 0), 0);
	assert_int_equal(hello(&b, "", 0), -1);
	assert_int_equal(node_ack(&b.node, 3, NULL), -1); /* not committed yet */
	assert_int_equal(nack(&b, 3), -1);
	sends(&b, "begin 3 a b commit 3/0");
	assert_int_equal(node_ack(&b.node, 4, NULL), -1);
	assert_int_equal(node_ack(&b.node, 3, NULL), 0);
	assert_int_equal(node_ack(&b.node, 2, NULL), 0); /* older: harmless */
	assert_int_equal(node_acked(&b.node), 3);
	teardown(&b);
}

static void test_waits_for_the_load(void **state)
{
	struct bench b;

	(void)state;
	setup(&b);
	image_reset(&b.image, "e1");
	assert_int_equal(hello(&b, "e1", 1), 0);
	assert_int_equal(b.node.state, NODE_WAITING);
	assert_int_equal(node_acked(&b.node), 0);
	sends(&b, "");
	set(&b, 'a', false, 1);
	set(&b, 'c', false, 2);
	commit(&b, 2);
	assert_int_equal(node_acked(&b.node), 1);
	sends(&b, "c commit 2/1");
	teardown(&b);
}

/* The image is loaded again in the same epoch, in the middle of a snapshot. */
static void test_reset_in_a_snapshot(void **state)
{
	struct bench b;

	(void)state;
	setup(&b);
	assert_int_equal(hello(&b, "e1", 0), 0);
	assert_string_equal(pump(&b, 1, NODE_PUMP_MORE), "begin 3 a");
	node_image_reset(&b.node, false);
	image_reset(&b.image, "e1");
	sends(&b, "");
	set(&b, 'n', false, 7);
	commit(&b, 7);
	sends(&b, "begin 7 n commit 7/0");
	/* And again when it is up to date. */
	assert_int_equal(node_ack(&b.node, 7, NULL), 0);
	node_image_reset(&b.node, false);
	image_reset(&b.image, "e1");
	set(&b, 'n', false, 7);
	set(&b, 'o', false, 8);
	commit(&b, 8);
	sends(&b, "o commit 8/7");
	teardown(&b);
}

static void test_ahead(void **state)
{
	struct bench b;

	(void)state;
	setup(&b);
	b.now_ms = 1000;
	assert_int_equal(hello(&b, "e1", 5), 0);
	assert_int_equal(b.node.state, NODE_WAITING);
	assert_int_equal(node_acked(&b.node), 5);
	set(&b, 'c', false, 4);
	commit(&b, 4);
	assert_int_equal(b.node.state, NODE_WAITING);
	/* This control plane catches up. */
	set(&b, 'd', false, 5);
	set(&b, 'f', false, 6);
	commit(&b, 6);
	sends(&b, "f commit 6/5");
	teardown(&b);

	/* It does not. */
	setup(&b);
	b.now_ms = 1000;
	assert_int_equal(hello(&b, "e1", 5), 0);
	b.now_ms += NODE_AHEAD_MS - 1;
	commit(&b, 3);
	assert_int_equal(b.node.state, NODE_WAITING);
	b.now_ms += 1;
	commit(&b, 3);
	assert_int_equal(node_acked(&b.node), 0);
	sends(&b, "begin 3 a b commit 3/0");
	assert_int_equal(node_ack(&b.node, 3, NULL), 0);
	assert_int_equal(node_acked(&b.node), 3);
	teardown(&b);
}

/* Without the database a control plane cannot say that what the node holds was lost. */
static void test_ahead_without_the_database(void **state)
{
	struct bench b;

	(void)state;
	setup(&b);
	b.now_ms = 1000;
	b.image.seen_ms = 1000;
	assert_int_equal(hello(&b, "e1", 5), 0);
	b.now_ms += NODE_AHEAD_MS;
	node_image_commit(&b.node, &b.image, b.now_ms);
	assert_int_equal(b.node.state, NODE_WAITING);
	assert_int_equal(node_acked(&b.node), 5);
	b.now_ms += NODE_AHEAD_MS - 1;
	node_image_commit(&b.node, &b.image, b.now_ms);
	assert_false(node_should_leave(&b.node, b.now_ms));
	b.now_ms += 1;
	node_image_commit(&b.node, &b.image, b.now_ms);
	assert_true(node_should_leave(&b.node, b.now_ms));
	/* It answers again: these writes are lost. */
	commit(&b, 3);
	assert_false(node_should_leave(&b.node, b.now_ms));
	sends(&b, "begin 3 a b commit 3/0");
	teardown(&b);
}

static void test_state_names(void **state)
{
	static const char *const names[NODE_STATES] = {"new",	  "waiting", "snapshot", "delta",
						       "current", "refused", "gone"};

	(void)state;
	for (unsigned i = 0; i < NODE_STATES; i++)
		assert_string_equal(node_state_name((enum node_state)i), names[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_start),
		cmocka_unit_test(test_deltas_follow),
		cmocka_unit_test(test_slices),
		cmocka_unit_test(test_full_connection),
		cmocka_unit_test(test_floor_passes_a_slow_node),
		cmocka_unit_test(test_nack),
		cmocka_unit_test(test_nack_of_an_older_revision),
		cmocka_unit_test(test_nack_of_a_snapshot),
		cmocka_unit_test(test_suspect),
		cmocka_unit_test(test_broken_contract),
		cmocka_unit_test(test_waits_for_the_load),
		cmocka_unit_test(test_reset_in_a_snapshot),
		cmocka_unit_test(test_ahead),
		cmocka_unit_test(test_ahead_without_the_database),
		cmocka_unit_test(test_state_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
