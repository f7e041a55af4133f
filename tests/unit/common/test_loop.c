/* The loop: posts between threads, deferred calls, work, timers, signals, and closing it all. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/lib/loop_fixture.h"
#include "tests/unit/lib/oom.h"

enum { THREADS = 4, POSTS = 500 };

/* Written only on the loop's thread. */
struct tally {
	struct loop *loop;
	unsigned count;
	unsigned last[THREADS]; /* per posting thread: order is kept */
};

struct posting {
	struct tally *tally;
	unsigned thread;
};

struct one_post {
	struct posting *from;
	unsigned number;
};

static void on_post(void *arg)
{
	struct one_post *p = arg;
	struct tally *t = p->from->tally;

	assert_true(loop_is_mine(t->loop));
	assert_int_equal(p->number, t->last[p->from->thread] + 1);
	t->last[p->from->thread] = p->number;
	if (++t->count == THREADS * POSTS)
		loop_stop(t->loop);
	free(p);
}

static void post_many(void *arg)
{
	struct posting *from = arg;
	struct err e = ERR_INIT;

	for (unsigned i = 1; i <= POSTS; i++) {
		struct one_post *p = malloc(sizeof(*p));

		*p = (struct one_post){from, i};
		if (loop_post(from->tally->loop, on_post, p, &e) < 0)
			abort();
	}
}

static void test_posts_from_threads(void **state)
{
	uv_thread_t threads[THREADS];
	static struct posting from[THREADS];
	struct tally tally = {0};
	struct loop l;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(loop_init(&l, &e), 0);
	uv_ref((uv_handle_t *)&l.wake); /* stay until loop_stop */
	tally.loop = &l;
	for (unsigned i = 0; i < THREADS; i++) {
		from[i] = (struct posting){.tally = &tally, .thread = i};
		assert_int_equal(uv_thread_create(&threads[i], post_many, &from[i]), 0);
	}
	loop_run(&l);
	for (unsigned i = 0; i < THREADS; i++)
		uv_thread_join(&threads[i]);
	assert_int_equal(tally.count, THREADS * POSTS);
	loop_deinit(&l);
}

static void look_from_outside(void *arg)
{
	const struct loop *l = arg;

	if (loop_is_mine(l))
		abort();
}

static void start_looker(void *arg)
{
	struct loop *l = arg;
	uv_thread_t t;

	assert_true(loop_is_mine(l));
	assert_int_equal(uv_thread_create(&t, look_from_outside, l), 0);
	uv_thread_join(&t);
	loop_stop(l);
}

static void test_whose_loop(void **state)
{
	struct loop l;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(loop_init(&l, &e), 0);
	assert_true(loop_is_mine(&l));
	uv_ref((uv_handle_t *)&l.wake);
	assert_int_equal(loop_post(&l, start_looker, &l, &e), 0);
	loop_run(&l);
	loop_deinit(&l);
}

static void count_up(void *arg)
{
	++*(unsigned *)arg;
}

/* Posts that nobody ran yet are run by deinit, also those that a post makes. */
static struct {
	struct loop *loop;
	unsigned *count;
} again;

static void post_again(void *arg)
{
	struct err e = ERR_INIT;

	(void)arg;
	assert_int_equal(loop_post(again.loop, count_up, again.count, &e), 0);
}

static void test_deinit_runs_posts(void **state)
{
	unsigned count = 0;
	struct loop l;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(loop_init(&l, &e), 0);
	again.loop = &l;
	again.count = &count;
	assert_int_equal(loop_post(&l, count_up, &count, &e), 0);
	assert_int_equal(loop_post(&l, post_again, NULL, &e), 0);
	assert_int_equal(count, 0);
	loop_deinit(&l);
	assert_int_equal(count, 2);
}

static void test_run_ends_when_idle(void **state)
{
	struct loop l;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(loop_init(&l, &e), 0);
	loop_run(&l);
	loop_run(&l);
	loop_deinit(&l);
}

static void oom_scenario(void *arg)
{
	struct loop l;
	struct err e = ERR_INIT;
	unsigned count = 0;
	int posted;

	(void)arg;
	if (loop_init(&l, &e) < 0) {
		assert_int_equal(e.kind, ERR_MEMORY);
		return;
	}
	posted = loop_post(&l, count_up, &count, &e);
	loop_deinit(&l);
	assert_int_equal(count, posted == 0 ? 1 : 0);
}

static void test_out_of_memory(void **state)
{
	(void)state;
	assert_true(oom_each(oom_scenario, NULL) >= 2);
}

struct later {
	struct deferred d;
	struct loop *loop;
	unsigned runs;
	unsigned repeats;
	struct deferred *cancels;
};

static void on_deferred(struct deferred *d)
{
	struct later *l = container_of(d, struct later, d);

	l->runs++;
	if (l->cancels)
		deferred_cancel(l->cancels);
	if (l->repeats > 0) {
		l->repeats--;
		loop_defer(l->loop, d);
	}
}

static void test_deferred(void **state)
{
	struct loop_fixture f;
	struct later a = {0}, b = {0};

	(void)state;
	fixture_init(&f);
	a.loop = b.loop = &f.loop;
	deferred_init(&a.d, on_deferred);
	deferred_init(&b.d, on_deferred);
	loop_defer(&f.loop, &a.d);
	loop_defer(&f.loop, &a.d);
	assert_int_equal(a.runs, 0);
	run_until(&f, a.runs == 1);
	fixture_spin(&f, 3);
	assert_int_equal(a.runs, 1);
	/* Deferring again from inside: one run a turn, and the loop does not sleep over it. */
	a.repeats = 3;
	loop_defer(&f.loop, &a.d);
	fixture_spin(&f, 1);
	assert_int_equal(a.runs, 2);
	run_until(&f, a.runs == 5);
	fixture_spin(&f, 3);
	assert_int_equal(a.runs, 5);
	/* One that cancels the other of the same turn. */
	a.cancels = &b.d;
	loop_defer(&f.loop, &a.d);
	loop_defer(&f.loop, &b.d);
	fixture_spin(&f, 3);
	assert_int_equal(a.runs, 6);
	assert_int_equal(b.runs, 0);
	deferred_cancel(&b.d);
	fixture_deinit(&f);
}

static void on_spun(void *arg)
{
	++*(unsigned *)arg;
}

/* The fixture's turns are turns, also on a loop where nothing is active: what must not happen
 * would.
 */
static void test_spin(void **state)
{
	struct loop_fixture f;
	struct err e = ERR_INIT;
	unsigned runs = 0;

	(void)state;
	fixture_init(&f);
	assert_int_equal(loop_post(&f.loop, on_spun, &runs, &e), 0);
	fixture_spin(&f, 1);
	assert_int_equal(runs, 1);
	fixture_deinit(&f);
}

/* Runs of test_deferred_last, in order. */
struct order {
	struct loop *loop;
	struct deferred first, write;
	char seen[8];
	size_t count;
	unsigned repeats;
};

static void on_first(struct deferred *d)
{
	struct order *o = container_of(d, struct order, first);

	o->seen[o->count++] = 'a';
	loop_defer_last(o->loop, &o->write);
}

static void on_write(struct deferred *d)
{
	struct order *o = container_of(d, struct order, write);

	o->seen[o->count++] = 'w';
	if (o->repeats > 0) {
		o->repeats--;
		loop_defer_last(o->loop, d);
	}
}

/* What was deferred to the end by what was deferred comes in the same turn, and once. */
static void test_deferred_last(void **state)
{
	struct loop_fixture f;
	struct order o = {.repeats = 1};

	(void)state;
	fixture_init(&f);
	o.loop = &f.loop;
	deferred_init(&o.first, on_first);
	deferred_init(&o.write, on_write);
	loop_defer_last(&f.loop, &o.write);
	loop_defer(&f.loop, &o.first);
	fixture_spin(&f, 1);
	assert_string_equal(o.seen, "aw");
	fixture_spin(&f, 1);
	assert_string_equal(o.seen, "aww"); /* from inside: the next turn */
	fixture_spin(&f, 3);
	assert_string_equal(o.seen, "aww");
	loop_defer_last(&f.loop, &o.write);
	deferred_cancel(&o.write);
	fixture_spin(&f, 3);
	assert_string_equal(o.seen, "aww");
	fixture_deinit(&f);
}

struct ticking {
	struct timer t;
	unsigned fired;
	unsigned closed;
	bool close_inside;
};

static void on_ticking_closed(struct timer *t)
{
	container_of(t, struct ticking, t)->closed++;
}

static void on_tick(struct timer *t)
{
	struct ticking *k = container_of(t, struct ticking, t);

	k->fired++;
	if (k->close_inside)
		timer_close(t, on_ticking_closed);
}

static void test_timers(void **state)
{
	struct loop_fixture f;
	struct ticking once = {0}, repeating = {0}, stopped = {0}, closing = {.close_inside = true};
	uint64_t start;

	(void)state;
	fixture_init(&f);
	timer_init(&once.t, &f.loop, on_tick);
	timer_init(&repeating.t, &f.loop, on_tick);
	timer_init(&stopped.t, &f.loop, on_tick);
	timer_init(&closing.t, &f.loop, on_tick);
	assert_false(timer_active(&once.t));
	start = uv_hrtime();
	timer_start(&once.t, 20, 0);
	timer_start(&repeating.t, 1, 1);
	timer_start(&stopped.t, 1, 0);
	timer_start(&closing.t, 0, 0);
	assert_true(timer_active(&stopped.t));
	timer_stop(&stopped.t);
	assert_false(timer_active(&stopped.t));
	run_until(&f, once.fired == 1 && closing.closed == 1);
	assert_true(uv_hrtime() - start >= 19 * 1000000);
	assert_int_equal(stopped.fired, 0);
	run_until(&f, repeating.fired >= 5);
	assert_int_equal(once.fired, 1);
	assert_int_equal(closing.fired, 1);
	timer_close(&once.t, on_ticking_closed);
	timer_close(&stopped.t, NULL);
	timer_close(&repeating.t, on_ticking_closed);
	assert_int_equal(once.closed, 0); /* never from inside the call */
	fixture_deinit(&f);
	assert_int_equal(once.closed, 1);
	assert_int_equal(repeating.closed, 1);
}

struct sum {
	struct work w;
	struct loop *loop;
	uint64_t result;
	unsigned done;
};

static void run_sum(struct work *w)
{
	struct sum *s = container_of(w, struct sum, w);

	for (uint64_t i = 0; i < 1000; i++)
		s->result += i;
}

static void on_sum(struct work *w)
{
	struct sum *s = container_of(w, struct sum, w);

	assert_true(loop_is_mine(s->loop));
	s->done++;
}

static void test_work(void **state)
{
	struct loop_fixture f;
	struct sum sums[8] = {0};
	struct err e = ERR_INIT;

	(void)state;
	fixture_init(&f);
	for (size_t i = 0; i < array_len(sums); i++) {
		sums[i].loop = &f.loop;
		assert_int_equal(work_start(&sums[i].w, &f.loop, run_sum, on_sum, &e), 0);
		assert_int_equal(sums[i].done, 0);
	}
	run_until(&f, sums[0].done == 1);
	/* The rest is waited for by deinit. */
	fixture_deinit(&f);
	for (size_t i = 0; i < array_len(sums); i++) {
		assert_int_equal(sums[i].done, 1);
		assert_int_equal(sums[i].result, 499500);
	}
}

static void on_signal(int signum, void *arg)
{
	*(int *)arg = signum;
}

static void test_signals(void **state)
{
	static const int sent[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1};
	struct loop_fixture f;
	struct signals *s;
	struct err e = ERR_INIT;
	int got = 0;

	(void)state;
	fixture_init(&f);
	signals_close(NULL);
	assert_int_equal(signals_start(&s, &f.loop, on_signal, &got, &e), 0);
	for (size_t i = 0; i < array_len(sent); i++) {
		got = 0;
		kill(getpid(), sent[i]);
		run_until(&f, got == sent[i]);
	}
	signals_close(s);
	fixture_deinit(&f);
}

/* A write to a peer that went away must not end the process. */
static void test_broken_pipe_is_ignored(void **state)
{
	struct loop_fixture f;
	struct sigaction now;

	(void)state;
	fixture_init(&f);
	assert_int_equal(sigaction(SIGPIPE, NULL, &now), 0);
	assert_true(now.sa_handler == SIG_IGN);
	fixture_deinit(&f);
}

static void ignore_timer(struct timer *t)
{
	(void)t;
}

/* deinit does not hang on a handle that was left open: it names it and aborts. */
static void test_leaked_handle_aborts(void **state)
{
	struct err e = ERR_INIT;
	struct loop l;
	struct timer t;
	int status = 0;
	pid_t child = fork();

	(void)state;
	assert_true(child >= 0);
	if (child == 0) {
		signal(SIGABRT, SIG_DFL);
		close(STDERR_FILENO);
		if (loop_init(&l, &e) < 0)
			_exit(1);
		timer_init(&t, &l, ignore_timer);
		timer_start(&t, 1000000, 0);
		loop_deinit(&l);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_leaked_handle_aborts),
		cmocka_unit_test(test_posts_from_threads),
		cmocka_unit_test(test_whose_loop),
		cmocka_unit_test(test_deinit_runs_posts),
		cmocka_unit_test(test_run_ends_when_idle),
		cmocka_unit_test(test_out_of_memory),
		cmocka_unit_test(test_deferred),
		cmocka_unit_test(test_spin),
		cmocka_unit_test(test_deferred_last),
		cmocka_unit_test(test_timers),
		cmocka_unit_test(test_work),
		cmocka_unit_test(test_signals),
		cmocka_unit_test(test_broken_pipe_is_ignored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
