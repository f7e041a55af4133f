/* The event loop.
 *
 * Posts: a locked list and one uv_async_t, which coalesces wake-ups, so each wake takes the whole
 * list. Deferred work: an uv_idle_t that is active only while something waits; idle callbacks run
 * right before the loop polls, and an active one keeps it from sleeping.
 */
#include "common/net/loop.h"

#include <signal.h>
#include <stdlib.h>

#include "common/core/log.h"
#include "common/net/pool.h"

struct post {
	struct link link;
	void (*fn)(void *arg);
	void *arg;
};

static struct loop *loop_of(uv_handle_t *h)
{
	return container_of(h->loop, struct loop, uv);
}

static void run_posts(struct loop *l)
{
	struct link batch, *it;

	list_init(&batch);
	uv_mutex_lock(&l->post_lock);
	list_move_all(&batch, &l->posts);
	uv_mutex_unlock(&l->post_lock);
	while ((it = list_first(&batch))) {
		struct post *p = container_of(it, struct post, link);

		list_remove(it);
		p->fn(p->arg);
		free(p);
	}
}

static void on_wake(uv_async_t *h)
{
	run_posts(loop_of((uv_handle_t *)h));
}

static void run_deferred(struct link *waiting)
{
	struct link batch, *it;

	list_init(&batch);
	list_move_all(&batch, waiting);
	while ((it = list_first(&batch))) {
		struct deferred *d = container_of(it, struct deferred, link);

		list_remove(it);
		d->run(d);
	}
}

static bool any_deferred(const struct loop *l)
{
	return !list_empty(&l->deferred) || !list_empty(&l->last);
}

static void on_turn(uv_idle_t *h)
{
	struct loop *l = loop_of((uv_handle_t *)h);

	run_deferred(&l->deferred);
	run_deferred(&l->last);
	if (!any_deferred(l))
		uv_idle_stop(&l->turn);
}

static int init_handles(struct loop *l, struct err *e)
{
	int rc = uv_loop_init(&l->uv);

	if (rc < 0)
		return err_errno(e, ERR_UNAVAILABLE, -rc, "making an event loop");
	rc = uv_async_init(&l->uv, &l->wake, on_wake);
	if (rc < 0) {
		(void)uv_loop_close(&l->uv);
		return err_errno(e, ERR_UNAVAILABLE, -rc, "making the event loop's wake-up");
	}
	uv_unref((uv_handle_t *)&l->wake);
	uv_idle_init(&l->uv, &l->turn);
	return 0;
}

int loop_init(struct loop *l, struct err *e)
{
	struct io_pool *pool = io_pool_create();
	int rc;

	if (!pool)
		return err_memory(e, "buffers of an event loop");
	rc = uv_mutex_init(&l->post_lock);
	if (rc < 0) {
		io_pool_free(pool);
		return err_errno(e, ERR_UNAVAILABLE, -rc, "making the event loop's lock");
	}
	if (init_handles(l, e) < 0) {
		uv_mutex_destroy(&l->post_lock);
		io_pool_free(pool);
		return -1;
	}
	/* libuv writes with write(2): a peer that went away must be an error, not a signal. */
	(void)signal(SIGPIPE, SIG_IGN);
	l->pool = pool;
	list_init(&l->posts);
	list_init(&l->deferred);
	list_init(&l->last);
	atomic_init(&l->running, false);
	return 0;
}

void loop_run(struct loop *l)
{
	l->thread = uv_thread_self();
	atomic_store_explicit(&l->running, true, memory_order_release);
	uv_run(&l->uv, UV_RUN_DEFAULT);
	atomic_store_explicit(&l->running, false, memory_order_release);
}

void loop_stop(struct loop *l)
{
	uv_stop(&l->uv);
}

bool loop_is_mine(const struct loop *l)
{
	uv_thread_t self = uv_thread_self();

	if (!atomic_load_explicit(&l->running, memory_order_acquire))
		return true;
	return uv_thread_equal(&self, &l->thread) != 0;
}

static void count_closing(uv_handle_t *h, void *arg)
{
	unsigned *closing = arg;

	if (uv_is_closing(h))
		(*closing)++;
}

/* Whether running on can still finish something: without it, a turn could wait for ever on a handle
 * that nobody closed. */
static bool can_progress(struct loop *l)
{
	unsigned closing = 0;

	uv_walk(&l->uv, count_closing, &closing);
	return closing > 0 || l->uv.active_reqs.count > 0 || any_deferred(l);
}

static bool have_posts(struct loop *l)
{
	bool any;

	uv_mutex_lock(&l->post_lock);
	any = !list_empty(&l->posts);
	uv_mutex_unlock(&l->post_lock);
	return any;
}

static void report_leak(uv_handle_t *h, void *arg)
{
	struct loop *l = arg;

	if (h == (uv_handle_t *)&l->wake || h == (uv_handle_t *)&l->turn)
		return;
	log_crit("handle left open on a loop", log_str("type", uv_handle_type_name(h->type)));
	abort();
}

void loop_deinit(struct loop *l)
{
	int rc;

	do {
		run_posts(l);
		while (can_progress(l))
			uv_run(&l->uv, UV_RUN_ONCE);
	} while (have_posts(l));
	uv_walk(&l->uv, report_leak, l);
	uv_close((uv_handle_t *)&l->wake, NULL);
	uv_close((uv_handle_t *)&l->turn, NULL);
	while (can_progress(l))
		uv_run(&l->uv, UV_RUN_ONCE);
	rc = uv_loop_close(&l->uv);
	assert(rc == 0);
	(void)rc;
	uv_mutex_destroy(&l->post_lock);
	io_pool_free(l->pool);
}

int loop_post(struct loop *l, void (*fn)(void *arg), void *arg, struct err *e)
{
	struct post *p = malloc(sizeof(*p));
	bool first;

	if (!p)
		return err_memory(e, "posting to a loop");
	p->fn = fn;
	p->arg = arg;
	uv_mutex_lock(&l->post_lock);
	first = list_empty(&l->posts);
	list_push(&l->posts, &p->link);
	if (first)
		uv_async_send(&l->wake);
	uv_mutex_unlock(&l->post_lock);
	return 0;
}

void deferred_init(struct deferred *d, void (*run)(struct deferred *d))
{
	list_init(&d->link);
	d->run = run;
}

static void defer(struct loop *l, struct deferred *d, struct link *to)
{
	if (!list_empty(&d->link))
		return;
	list_push(to, &d->link);
	/* Does nothing when it is active already. */
	uv_idle_start(&l->turn, on_turn);
}

void loop_defer(struct loop *l, struct deferred *d)
{
	defer(l, d, &l->deferred);
}

void loop_defer_last(struct loop *l, struct deferred *d)
{
	defer(l, d, &l->last);
}

void deferred_cancel(struct deferred *d)
{
	list_remove(&d->link);
}

void timer_init(struct timer *t, struct loop *l, void (*fire)(struct timer *t))
{
	uv_timer_init(&l->uv, &t->uv);
	t->fire = fire;
	t->closed = NULL;
}

static void on_timer(uv_timer_t *h)
{
	struct timer *t = container_of(h, struct timer, uv);

	t->fire(t);
}

void timer_start(struct timer *t, uint64_t ms, uint64_t repeat)
{
	/* The loop's clock stands still during a turn; without this a timer set at the end of a
	 * long turn would fire early. */
	uv_update_time(t->uv.loop);
	uv_timer_start(&t->uv, on_timer, ms, repeat);
}

void timer_stop(struct timer *t)
{
	uv_timer_stop(&t->uv);
}

bool timer_active(const struct timer *t)
{
	return uv_is_active((const uv_handle_t *)&t->uv) != 0;
}

static void on_timer_closed(uv_handle_t *h)
{
	struct timer *t = container_of(h, struct timer, uv);

	if (t->closed)
		t->closed(t);
}

void timer_close(struct timer *t, void (*closed)(struct timer *t))
{
	t->closed = closed;
	uv_close((uv_handle_t *)&t->uv, on_timer_closed);
}

static void on_work(uv_work_t *req)
{
	struct work *w = container_of(req, struct work, uv);

	w->run(w);
}

static void on_work_done(uv_work_t *req, int status)
{
	struct work *w = container_of(req, struct work, uv);

	/* Nobody cancels work, so it has run. */
	assert(status == 0);
	(void)status;
	w->done(w);
}

int work_start(struct work *w, struct loop *l, void (*run)(struct work *w),
	       void (*done)(struct work *w), struct err *e)
{
	int rc;

	w->run = run;
	w->done = done;
	rc = uv_queue_work(&l->uv, &w->uv, on_work, on_work_done);
	if (rc < 0)
		return err_errno(e, ERR_UNAVAILABLE, -rc, "starting work on the pool");
	return 0;
}
