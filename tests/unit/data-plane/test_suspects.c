/* sync/suspects: what a process died of, over starts and ends. */
#include "data-plane/sync/suspects.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64];

static int setup(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/test_suspects.XXXXXX");
	assert_non_null(mkdtemp(folder));
	return 0;
}

static void path_of(char out[128])
{
	snprintf(out, 128, "%s/suspects", folder);
}

static int teardown(void **state)
{
	char path[128];

	(void)state;
	path_of(path);
	(void)unlink(path);
	return rmdir(folder);
}

static struct suspects *start(uint64_t now_ms)
{
	struct suspects *s;
	struct err e = ERR_INIT;

	if (suspects_open(&s, folder, now_ms, &e) != 0)
		fail_msg("%s", e.message);
	return s;
}

/* An entity of one letter, in a version of one letter. */
static void note(struct suspects *s, const char *what, uint64_t now_ms)
{
	unsigned char id[SUSPECTS_ID_SIZE] = {(unsigned char)what[0]};

	suspects_note(s, 1, id, (struct str){what + 1, 1}, now_ms);
}

static bool refuses(const struct suspects *s, const char *what)
{
	unsigned char id[SUSPECTS_ID_SIZE] = {(unsigned char)what[0]};

	return suspects_refuses(s, 1, id, (struct str){what + 1, 1});
}

/* A process that is given these ("a1 b1") and ends by a signal. */
static void die(const char *given, int signum)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct suspects *s;

		for (int i = 1; i < 32; i++) /* a sanitizer's own handlers would tell of it */
			if (i != SIGKILL && i != SIGSTOP)
				signal(i, SIG_DFL);
		s = start(0);
		for (const char *at = given; *at; at += at[2] ? 3 : 2)
			if (!refuses(s, at))
				note(s, at, 0);
		raise(signum);
		_exit(99);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), signum);
}

static void test_second_crash(void **state)
{
	static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};

	(void)state;
	for (size_t i = 0; i < array_len(signals); i++) {
		struct suspects *s;

		teardown(state);
		setup(state);
		die("a1", signals[i]);
		s = start(0);
		assert_int_equal(suspects_on_trial(s), 1);
		assert_false(refuses(s, "a1"));
		suspects_close(s); /* an orderly end clears it */
		die("a1", signals[i]);
		die("a1", signals[i]);
		s = start(0);
		assert_true(refuses(s, "a1"));
		assert_false(refuses(s, "a2"));
		assert_false(refuses(s, "b1"));
		assert_int_equal(suspects_refused(s), 1);
		suspects_close(s);
		/* Remembered over orderly ends, and over crashes that it has no part in. */
		die("b1", signals[i]);
		s = start(0);
		assert_true(refuses(s, "a1"));
		assert_false(refuses(s, "b1"));
		/* Another version takes its place. */
		note(s, "a2", 0);
		assert_false(refuses(s, "a1"));
		assert_int_equal(suspects_refused(s), 0);
		suspects_close(s);
	}
}

static void test_kill_says_nothing(void **state)
{
	struct suspects *s;

	(void)state;
	for (int i = 0; i < 3; i++) {
		die("a1", SIGKILL);
		die("a1", SIGTERM);
	}
	s = start(0);
	assert_int_equal(suspects_on_trial(s) + suspects_refused(s), 0);
	suspects_close(s);
}

/* Only what was given in the last ten seconds is put on trial. */
static void test_health(void **state)
{
	struct suspects *s;

	(void)state;
	die("a1 b1", SIGSEGV);
	s = start(1000);
	note(s, "b1", 3000);
	suspects_tick(s, 1000 + SUSPECTS_TRIAL_MS - 1);
	assert_int_equal(suspects_on_trial(s), 2);
	suspects_tick(s, 1000 + SUSPECTS_TRIAL_MS);
	assert_int_equal(suspects_on_trial(s), 1);
	suspects_tick(s, 3000 + SUSPECTS_TRIAL_MS);
	assert_int_equal(suspects_on_trial(s), 0);
	suspects_close(s);
}

/* Of many it is hardly all: the newer half first. */
static void test_many(void **state)
{
	char given[3 * 26 + 1] = "";
	struct suspects *s;

	(void)state;
	for (int c = 'a'; c < 'a' + 20; c++)
		snprintf(given + strlen(given), 4, "%c1 ", c);
	given[strlen(given) - 1] = '\0';
	die(given, SIGSEGV);
	die(given, SIGSEGV);
	s = start(0);
	assert_int_equal(suspects_refused(s), 10);
	assert_int_equal(suspects_on_trial(s), 10);
	assert_true(refuses(s, "t1"));
	assert_false(refuses(s, "a1"));
	/* Told one by one, once per stream, unless a control plane holds it back. */
	for (int i = 0; i < 2; i++) {
		unsigned char id[SUSPECTS_ID_SIZE];
		unsigned kind, n = 0;

		suspects_restart(s);
		while (suspects_next(s, &kind, id)) {
			assert_int_equal(kind, 1);
			assert_true(id[0] >= 'k' && id[0] <= 't');
			n++;
			if (id[0] < 'p')
				suspects_told(s, kind, id);
		}
		assert_int_equal(n, i == 0 ? 10 : 5);
	}
	suspects_close(s);
}

static void test_more_than_are_noted(void **state)
{
	struct suspects *s = start(0);
	unsigned char id[SUSPECTS_ID_SIZE] = {0};

	(void)state;
	for (unsigned i = 0; i < SUSPECTS_MAX + 10; i++) {
		memcpy(id, &i, sizeof(i));
		suspects_note(s, 1, id, STR("x"), 0);
	}
	assert_int_equal(suspects_on_trial(s), SUSPECTS_MAX);
	suspects_tick(s, SUSPECTS_TRIAL_MS);
	assert_int_equal(suspects_on_trial(s), 0);
	suspects_close(s);
}

/* A file that is none, is cut off or counts wrongly is made anew. */
static void test_damaged_file(void **state)
{
	static const struct {
		const char *name;
		off_t size;
		size_t at;
		unsigned char byte;
	} rows[] = {
		{"empty", 0, 0, 0},	     {"cut", 100, 0, 0},      {"too long", 1 << 20, 0, 0},
		{"other magic", -1, 0, 'X'}, {"count", -1, 10, 0xff},
	};
	char path[128];

	path_of(path);
	for (size_t i = 0; i < array_len(rows); i++) {
		struct suspects *s;
		int fd;

		teardown(state);
		setup(state);
		die("a1", SIGSEGV);
		path_of(path);
		fd = open(path, O_RDWR);
		assert_true(fd >= 0);
		if (rows[i].size >= 0)
			assert_int_equal(ftruncate(fd, rows[i].size), 0);
		else
			assert_int_equal(pwrite(fd, &rows[i].byte, 1, (off_t)rows[i].at), 1);
		close(fd);
		s = start(0);
		if (suspects_on_trial(s) != 0)
			fail_msg("%s", rows[i].name);
		note(s, "b1", 0);
		assert_int_equal(suspects_on_trial(s), 1);
		suspects_close(s);
	}
}

static void test_no_folder(void **state)
{
	struct suspects *s;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(suspects_open(&s, "/nonexistent", 0, &e), -1);
	assert_int_equal(e.kind, ERR_UNAVAILABLE);
	suspects_close(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_second_crash, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kill_says_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_health, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_more_than_are_noted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damaged_file, setup, teardown),
		cmocka_unit_test(test_no_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
