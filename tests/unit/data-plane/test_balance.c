#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>

#include "data-plane/proxy/balance.h"

enum { ITEMS_MAX = 128, KEYS = 20000 };

struct bed {
	struct balance_item items[ITEMS_MAX];
	struct balance_item *list[ITEMS_MAX];
	struct balance balance;
	unsigned hits[ITEMS_MAX];
};

static void bed_init(struct bed *b, size_t n, const unsigned *weights)
{
	char name[32];

	*b = (struct bed){.balance = {.count = n, .random = 42}};
	b->balance.items = b->list;
	for (size_t i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "10.0.0.%zu:80", i);
		b->items[i] = (struct balance_item){.weight = weights ? weights[i] : 100,
						    .usable = true,
						    .key = balance_hash(str_from(name), 0)};
		b->list[i] = &b->items[i];
	}
}

static size_t index_of(const struct bed *b, const struct balance_item *i)
{
	return (size_t)(i - b->items);
}

static void pick_n(struct bed *b, enum upstream_algorithm a, size_t n)
{
	for (size_t k = 0; k < n; k++) {
		const struct balance_query q = {.hash = balance_random(&b->balance)};
		struct balance_item *i = balance_pick(&b->balance, a, &q);

		assert_non_null(i);
		b->hits[index_of(b, i)]++;
	}
}

/* Exact shares, and smooth: never two of the light one's turns in a row. */
static void test_round_robin(void **state)
{
	static const struct {
		size_t n;
		unsigned weights[4], want[4], picks;
	} rows[] = {
		{1, {100}, {7}, 7},
		{3, {100, 100, 100}, {10, 10, 10}, 30},
		{3, {5, 1, 1}, {5, 1, 1}, 7},
		{3, {50, 30, 20}, {50, 30, 20}, 100},
		{4, {1, 65535, 0, 0}, {1, 65535, 0, 0}, 65536},
		{2, {0, 3}, {0, 9}, 9},
	};
	struct bed b;

	(void)state;
	for (size_t r = 0; r < array_len(rows); r++) {
		bed_init(&b, rows[r].n, rows[r].weights);
		pick_n(&b, ALGORITHM_ROUND_ROBIN, rows[r].picks);
		for (size_t i = 0; i < rows[r].n; i++)
			assert_int_equal(b.hits[i], rows[r].want[i]);
	}
}

static void test_round_robin_is_smooth(void **state)
{
	static const unsigned weights[] = {5, 1, 1};
	static const size_t want[] = {0, 0, 1, 0, 2, 0, 0};
	const struct balance_query q = {0};
	struct bed b;

	(void)state;
	bed_init(&b, 3, weights);
	for (size_t k = 0; k < array_len(want); k++)
		assert_int_equal(index_of(&b, balance_pick(&b.balance, ALGORITHM_ROUND_ROBIN, &q)),
				 want[k]);
}

/* Weight 0 and what is not usable is never chosen, by no algorithm; nothing left: NULL. */
static void test_never_chosen(void **state)
{
	static const unsigned weights[] = {100, 0, 100, 100};
	const struct balance_query q = {0};
	struct bed b;

	(void)state;
	for (unsigned a = 0; a < ALGORITHMS; a++) {
		bed_init(&b, 4, weights);
		b.items[2].usable = false;
		pick_n(&b, (enum upstream_algorithm)a, 1000);
		assert_int_equal(b.hits[1], 0);
		assert_int_equal(b.hits[2], 0);
		assert_true(b.hits[0] > 0 && b.hits[3] > 0);
		b.items[0].usable = b.items[3].usable = false;
		assert_null(balance_pick(&b.balance, (enum upstream_algorithm)a, &q));
		b.balance.count = 0;
		assert_null(balance_pick(&b.balance, (enum upstream_algorithm)a, &q));
	}
}

static bool was(const struct balance_item *i, const void *arg)
{
	return i == arg;
}

/* What was tried comes only when nothing else is there. */
static void test_tried(void **state)
{
	struct bed b;

	(void)state;
	for (unsigned a = 0; a < ALGORITHMS; a++) {
		bed_init(&b, 3, NULL);
		for (size_t k = 0; k < 200; k++) {
			const struct balance_query q = {
				.hash = k, .tried = was, .arg = &b.items[1]};

			assert_ptr_not_equal(
				balance_pick(&b.balance, (enum upstream_algorithm)a, &q),
				&b.items[1]);
		}
		b.balance.count = 1;
		const struct balance_query q = {.tried = was, .arg = &b.items[0]};
		assert_ptr_equal(balance_pick(&b.balance, (enum upstream_algorithm)a, &q),
				 &b.items[0]);
	}
}

static void test_least_connections(void **state)
{
	static const struct {
		unsigned weights[3], busy[3];
		size_t want;
	} rows[] = {
		{{100, 100, 100}, {2, 1, 2}, 1}, {{100, 100, 100}, {3, 3, 0}, 2},
		{{300, 100, 100}, {2, 1, 1}, 0}, {{100, 1, 100}, {5, 0, 5}, 1},
		{{100, 0, 100}, {5, 0, 4}, 2},
	};
	const struct balance_query q = {0};
	struct bed b;

	(void)state;
	for (size_t r = 0; r < array_len(rows); r++) {
		bed_init(&b, 3, rows[r].weights);
		for (size_t i = 0; i < 3; i++)
			b.items[i].busy = rows[r].busy[i];
		assert_int_equal(
			index_of(&b, balance_pick(&b.balance, ALGORITHM_LEAST_CONNECTIONS, &q)),
			rows[r].want);
	}
	/* Equals take turns by weight. */
	bed_init(&b, 3, NULL);
	pick_n(&b, ALGORITHM_LEAST_CONNECTIONS, 30);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(b.hits[i], 10);
}

static void test_latency(void **state)
{
	struct bed b;

	(void)state;
	bed_init(&b, 3, NULL);
	balance_measured(&b.items[0], 5, 1);
	balance_measured(&b.items[1], 500, 1);
	pick_n(&b, ALGORITHM_LATENCY, 3000);
	/* The slow one loses every comparison; the one that is not known is no worse than the
	 * mean. */
	assert_int_equal(b.hits[1], 0);
	assert_true(b.hits[0] > 1500 && b.hits[2] > 800);
	/* Busy ones count as slower. */
	bed_init(&b, 2, NULL);
	balance_measured(&b.items[0], 10, 1);
	balance_measured(&b.items[1], 15, 1);
	b.items[0].busy = 3;
	pick_n(&b, ALGORITHM_LATENCY, 100);
	assert_int_equal(b.hits[1], 100);
}

static void test_average(void **state)
{
	struct balance_item i = {0};

	(void)state;
	balance_measured(&i, 0, 1);
	assert_true(i.latency_ms > 0);
	i = (struct balance_item){0};
	balance_measured(&i, 100, 1000);
	assert_true(fabs(i.latency_ms - 100) < 1e-9);
	balance_measured(&i, 200, 1000);
	assert_true(fabs(i.latency_ms - 110) < 1e-9);
	/* A minute later the past is forgotten. */
	balance_measured(&i, 10, 60000000000ULL);
	assert_true(i.latency_ms < 11);
}

/* The share of each, within what chance allows. */
static void test_hash_shares(void **state)
{
	static const unsigned weights[] = {100, 200, 300, 400};
	struct bed b;

	(void)state;
	bed_init(&b, 4, weights);
	pick_n(&b, ALGORITHM_CONSISTENT_HASHING, KEYS);
	for (size_t i = 0; i < 4; i++)
		assert_true(fabs(b.hits[i] / (double)KEYS - weights[i] / 1000.0) < 0.02);
	bed_init(&b, 10, NULL);
	pick_n(&b, ALGORITHM_CONSISTENT_HASHING, KEYS);
	for (size_t i = 0; i < 10; i++)
		assert_true(fabs(b.hits[i] / (double)KEYS - 0.1) < 0.02);
}

static size_t owner_of(struct bed *b, size_t key)
{
	const struct balance_query q = {
		.hash = balance_hash((struct str){(char *)&key, sizeof(key)}, 0)};

	return index_of(b, balance_pick(&b->balance, ALGORITHM_CONSISTENT_HASHING, &q));
}

/* Of n one goes: exactly its keys move, about 1/n; it comes back: they all come back. */
static void test_hash_moves_little(void **state)
{
	static size_t owners[KEYS];
	static const size_t sizes[] = {2, 3, 10, 100};
	struct bed b;

	(void)state;
	for (size_t s = 0; s < array_len(sizes); s++) {
		size_t n = sizes[s], moved = 0;

		bed_init(&b, n, NULL);
		for (size_t k = 0; k < KEYS; k++)
			owners[k] = owner_of(&b, k);
		b.items[n - 1].usable = false;
		for (size_t k = 0; k < KEYS; k++) {
			if (owners[k] == n - 1)
				moved++;
			else
				assert_int_equal(owner_of(&b, k), owners[k]);
		}
		assert_true(fabs((double)moved / KEYS - 1.0 / (double)n) < 0.02);
		b.items[n - 1].usable = true;
		for (size_t k = 0; k < KEYS; k += 7)
			assert_int_equal(owner_of(&b, k), owners[k]);
	}
}

/* One weight becomes another: who gains takes, nobody else loses to a third. */
static void test_hash_weight(void **state)
{
	static size_t owners[KEYS];
	struct bed b;

	(void)state;
	bed_init(&b, 5, NULL);
	for (size_t k = 0; k < KEYS; k++)
		owners[k] = owner_of(&b, k);
	b.items[2].weight = 300;
	for (size_t k = 0; k < KEYS; k++) {
		size_t now = owner_of(&b, k);

		assert_true(now == owners[k] || now == 2);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_robin),
		cmocka_unit_test(test_round_robin_is_smooth),
		cmocka_unit_test(test_never_chosen),
		cmocka_unit_test(test_tried),
		cmocka_unit_test(test_least_connections),
		cmocka_unit_test(test_latency),
		cmocka_unit_test(test_average),
		cmocka_unit_test(test_hash_shares),
		cmocka_unit_test(test_hash_moves_little),
		cmocka_unit_test(test_hash_weight),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
