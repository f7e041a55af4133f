#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/core/compiler.h"
#include "common/core/sm.h"

enum { A, B, C };
static const struct sm_state states[] = {
	[A] = {"a", SM_TO(B)},
	[B] = {"b", SM_TO(A) | SM_TO(B) | SM_TO(C)},
	[C] = {"c", 0},
};
static const struct sm machine = {"letters", states, 3};

static void test_all_moves(void **state)
{
	static const bool want[3][3] = {
		{false, true, false}, {true, true, true}, {false, false, false}};

	(void)state;
	for (unsigned from = 0; from < 3; from++) {
		for (unsigned to = 0; to < 3; to++) {
			assert_int_equal(sm_allows(&machine, from, to), want[from][to]);
			if (want[from][to])
				assert_int_equal(sm_move(&machine, from, to, "id"), to);
		}
	}
	assert_int_equal(sm_move(&machine, A, B, NULL), B);
}

static void test_outside_the_table(void **state)
{
	static const unsigned odd[] = {3, 31, 32, 33, 64, 0xffffffff};

	(void)state;
	for (size_t i = 0; i < array_len(odd); i++) {
		assert_false(sm_allows(&machine, odd[i], A));
		assert_false(sm_allows(&machine, A, odd[i]));
		assert_string_equal(sm_name(&machine, odd[i]), "?");
	}
	assert_string_equal(sm_name(&machine, C), "c");
}

static void test_forbidden_move_aborts(void **state)
{
	static const unsigned moves[][2] = {{A, C}, {C, A}, {A, 7}, {7, A}};

	(void)state;
	for (size_t i = 0; i < array_len(moves); i++) {
		int status = 0;
		pid_t child = fork();

		assert_true(child >= 0);
		if (child == 0) {
			signal(SIGABRT, SIG_DFL);
			close(STDERR_FILENO);
			sm_move(&machine, moves[i][0], moves[i][1], NULL);
			_exit(0);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_moves),
		cmocka_unit_test(test_outside_the_table),
		cmocka_unit_test(test_forbidden_move_aborts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
