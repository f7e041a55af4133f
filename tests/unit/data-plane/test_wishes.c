/* tables/wishes: which names are asked for, as whom clients count, marks, and the way from workers
 * to the sync thread. */
#include "data-plane/tables/wishes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "data-plane/tables/rcu.h"
#include "tests/unit/lib/loop_fixture.h"
#include "tests/unit/lib/oom.h"

#define L63 "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg"
#define NAME253                                                                                    \
	L63 "." L63 "." L63 "."                                                                    \
	    "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffg"

static void test_names(void **state)
{
	static const struct {
		const char *name;
		bool valid;
	} rows[] = {
		{"a.example", true},
		{"a-b.c.example", true},
		{"1.2.example", true},
		{"xn--bcher-kva.example", true},
		{L63 ".example", true},
		{NAME253, true},
		{"a.b1", true},
		{"", false},
		{"localhost", false},
		{"example", false},
		{".", false},
		{".example", false},
		{"a.example.", false}, /* certs_normalise takes it off */
		{"a..example", false},
		{"*.example", false},
		{"a.*.example", false},
		{"a_b.example", false},
		{"-a.example", false},
		{"a-.example", false},
		{"a.-example", false},
		{"a.example-", false},
		{"A.example", false}, /* certs_normalise makes it lower */
		{"a b.example", false},
		{"a/b.example", false},
		{"b\xc3\xbc"
		 "cher.example",
		 false},
		{L63 "g.example", false},
		{NAME253 "h", false},
		{"192.0.2.1", false},
		{"a.1", false},
		{"a.0x1", false},
		{"2001:db8::1", false},
		{"[::1]", false},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++)
		if (wish_name_is_valid(str_from(rows[i].name)) != rows[i].valid)
			fail_msg("%s", rows[i].name);
}

static void test_clients(void **state)
{
	static const struct {
		const char *ip, *client;
	} rows[] = {
		{"192.0.2.1", "192.0.2.1"},	   {"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
		{"2001:db8::1", "2001:db8::/64"},  {"::1", "::/64"},
		{"::ffff:192.0.2.7", "192.0.2.7"},
	};
	char text[WISH_CLIENT_SIZE];
	struct addr a;

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		assert_int_equal(addr_parse_ip(&a, str_from(rows[i].ip)), 0);
		wish_client(&a, text);
		assert_string_equal(text, rows[i].client);
	}
}

struct bed {
	struct loop_fixture f;
	struct wish_board board;
	struct wish last;
	size_t taken;
};

static void on_wishes(const struct wish *w, size_t n, void *arg)
{
	struct bed *b = arg;

	b->taken += n;
	b->last = w[n - 1];
}

static void init(struct bed *b)
{
	memset(b, 0, sizeof(*b));
	fixture_init(&b->f);
	rcu_start();
	assert_int_equal(wish_board_init(&b->board, NULL), 0);
}

static void deinit(struct bed *b)
{
	rcu_leave();
	wish_board_deinit(&b->board);
	rcu_stop();
	fixture_deinit(&b->f);
}

static void test_marks(void **state)
{
	const struct str name = STR("a.example");
	const struct wish_view asked = {.mark = WISH_ASKED, .since_ns = 7};
	const struct wish_view refused = {.mark = WISH_REFUSED, .until_ns = 100};
	const struct wish_view none = {.mark = WISH_NONE};
	struct bed b;

	(void)state;
	init(&b);
	assert_int_equal(atomic_load(&b.board.gate), WISHES_AWAY);
	assert_int_equal(wish_find(&b.board, name, 0).mark, WISH_NONE);
	assert_int_equal(wish_set(&b.board, name, asked, NULL), 0);
	assert_int_equal(wish_find(&b.board, name, 1000).mark, WISH_ASKED);
	assert_int_equal(wish_find(&b.board, name, 1000).since_ns, 7);
	assert_int_equal(wish_find(&b.board, STR("b.example"), 0).mark, WISH_NONE);
	assert_int_equal(wish_set(&b.board, name, refused, NULL), 0);
	assert_int_equal(wish_find(&b.board, name, 99).mark, WISH_REFUSED);
	assert_int_equal(wish_find(&b.board, name, 100).mark, WISH_NONE);
	assert_int_equal(wish_set(&b.board, name, none, NULL), 0);
	assert_int_equal(wish_find(&b.board, name, 99).mark, WISH_NONE);
	assert_int_equal(wish_set(&b.board, name, none, NULL), 0);
	deinit(&b);
}

static void test_posts(void **state)
{
	struct addr client;
	struct bed b;

	(void)state;
	init(&b);
	assert_int_equal(addr_parse_ip(&client, STR("192.0.2.1")), 0);
	assert_false(wish_post(&b.board, STR("a.example"), &client)); /* nobody takes it */
	wish_serve(&b.board, &b.f.loop, on_wishes, &b);
	for (size_t i = 0; i < WISHES_WAITING_MAX; i++)
		assert_true(wish_post(&b.board, STR("a.example"), &client));
	assert_false(wish_post(&b.board, STR("b.example"), &client));
	run_until(&b.f, b.taken == WISHES_WAITING_MAX);
	assert_string_equal(b.last.name, "a.example");
	assert_true(addr_same_ip(&b.last.client, &client));
	assert_true(wish_post(&b.board, STR("c.example"), &client));
	run_until(&b.f, b.taken == WISHES_WAITING_MAX + 1);
	assert_string_equal(b.last.name, "c.example");
	assert_true(wish_post(&b.board, STR("d.example"), &client));
	wish_serve(&b.board, NULL, NULL, NULL);
	fixture_spin(&b.f, 3);
	assert_int_equal(b.taken, WISHES_WAITING_MAX + 1);
	deinit(&b);
}

/* Without memory nothing changes, and what was made is freed. */
static void scenario(void *arg)
{
	const struct wish_view asked = {.mark = WISH_ASKED};
	struct wish_board board;
	struct addr client = {0};
	struct err e = ERR_INIT;
	struct bed *b = arg;

	if (wish_board_init(&board, &e) != 0) {
		assert_int_equal(e.kind, ERR_MEMORY);
		wish_board_deinit(&board);
		return;
	}
	wish_serve(&board, &b->f.loop, on_wishes, b);
	if (wish_set(&board, STR("a.example"), asked, &e) != 0)
		assert_int_equal(wish_find(&board, STR("a.example"), 0).mark, WISH_NONE);
	else
		assert_int_equal(wish_find(&board, STR("a.example"), 0).mark, WISH_ASKED);
	if (wish_post(&board, STR("a.example"), &client)) {
		size_t before = b->taken;

		oom_pause();
		run_until(&b->f, b->taken == before + 1);
		oom_go_on();
	}
	rcu_leave();
	wish_board_deinit(&board);
}

static void test_no_memory(void **state)
{
	struct bed b;

	(void)state;
	init(&b);
	assert_true(oom_each(scenario, &b) > 3);
	deinit(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),	  cmocka_unit_test(test_clients),
		cmocka_unit_test(test_marks),	  cmocka_unit_test(test_posts),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
