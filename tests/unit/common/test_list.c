#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/core/list.h"

struct item {
	char name;
	struct link link;
};

static void expect(const struct link *head, const char *want)
{
	size_t n = 0;

	list_for_each(it, head)
	{
		assert_int_equal(container_of(it, struct item, link)->name, want[n]);
		assert_ptr_equal(it->next->prev, it);
		assert_ptr_equal(it->prev->next, it);
		n++;
	}
	assert_int_equal(want[n], '\0');
	assert_int_equal(list_empty(head), n == 0);
}

static void test_list(void **state)
{
	struct item a = {.name = 'a'}, b = {.name = 'b'}, c = {.name = 'c'};
	struct link head;

	(void)state;
	list_init(&head);
	expect(&head, "");
	assert_null(list_first(&head));
	assert_null(list_last(&head));
	list_push(&head, &b.link);
	assert_ptr_equal(list_first(&head), &b.link);
	assert_ptr_equal(list_last(&head), &b.link);
	list_push(&head, &c.link);
	list_push_front(&head, &a.link);
	expect(&head, "abc");
	list_remove(&b.link);
	expect(&head, "ac");
	assert_true(list_empty(&b.link));
	list_remove(&b.link);
	expect(&head, "ac");
	list_insert_after(&a.link, &b.link);
	expect(&head, "abc");
	list_for_each_safe(it, &head)
	{
		list_remove(it);
	}
	expect(&head, "");
}

static void test_move_all(void **state)
{
	static const struct {
		size_t to, from; /* how many items each has */
		const char *want;
	} rows[] = {{0, 0, ""}, {2, 0, "ab"}, {0, 2, "cd"}, {1, 1, "ac"}, {2, 2, "abcd"}};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct item left[2] = {{.name = 'a'}, {.name = 'b'}};
		struct item right[2] = {{.name = 'c'}, {.name = 'd'}};
		struct link to, from;

		list_init(&to);
		list_init(&from);
		for (size_t k = 0; k < rows[i].to; k++)
			list_push(&to, &left[k].link);
		for (size_t k = 0; k < rows[i].from; k++)
			list_push(&from, &right[k].link);
		list_move_all(&to, &from);
		expect(&to, rows[i].want);
		expect(&from, "");
	}
}

static void test_pop(void **state)
{
	struct item a = {.name = 'a'}, b = {.name = 'b'};
	struct link head;

	(void)state;
	list_init(&head);
	assert_null(list_pop(&head));
	list_push(&head, &a.link);
	list_push(&head, &b.link);
	assert_ptr_equal(list_pop(&head), &a.link);
	assert_true(list_empty(&a.link));
	expect(&head, "b");
	assert_ptr_equal(list_pop(&head), &b.link);
	assert_null(list_pop(&head));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_move_all),
		cmocka_unit_test(test_pop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
