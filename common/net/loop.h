/* A thread's event loop: timers, work on the libuv pool, and posts from other threads.
 *
 * owner: one thread, the one that runs it. loop_post is the only call that another thread may make.
 * House rule: a callback is never called from inside the call that registered it, even when the
 * result is known.
 */
#ifndef CARDEA_NET_LOOP_H
#define CARDEA_NET_LOOP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "common/core/err.h"
#include "common/core/list.h"

struct io_pool;

struct loop {
	uv_loop_t uv;	 /* read: for handles of common/net and the libpq/libcurl adapters only */
	uv_async_t wake; /* private */
	uv_idle_t turn;	 /* private: active while something is deferred */
	uv_mutex_t post_lock; /* private */
	struct link posts;    /* private: struct post; thread: any, under post_lock */
	struct link deferred; /* private: struct deferred */
	struct link last;     /* private: struct deferred, run behind those */
	struct io_pool *pool; /* private: buffers of the connections on this loop */
	uv_thread_t thread;   /* private: set by loop_run before running */
	atomic_bool running;  /* private */
};

/* init makes the loop; run blocks until nothing is active or loop_stop was called; deinit closes
 * what the loop itself holds, runs the loop until all close callbacks came, and asserts that
 * uv_loop_close returned 0 (a leaked handle is our bug: it is named in the log). Posts that were
 * not run yet are run by deinit. A process that made a loop ignores SIGPIPE. */
int loop_init(struct loop *l, struct err *e) must_check;
void loop_run(struct loop *l);
/* Makes loop_run return after this turn. Thread: the loop's; from elsewhere post it. */
void loop_stop(struct loop *l);
void loop_deinit(struct loop *l);
/* Whether the calling thread is the one in loop_run (or the loop is not running): for asserts. */
bool loop_is_mine(const struct loop *l);

/* Runs fn(arg) on the loop's thread, in order of posting. Thread: any. Fails only when out of
 * memory. */
int loop_post(struct loop *l, void (*fn)(void *arg), void *arg, struct err *e) must_check;

/* What is to happen at the end of this turn of the loop, before it waits: how results that are
 * known at once are still given later, and how the writes of a turn are gathered. Embedded by its
 * owner. */
struct deferred {
	struct link link;		 /* private */
	void (*run)(struct deferred *d); /* private */
};
void deferred_init(struct deferred *d, void (*run)(struct deferred *d));
/* Runs d once; nothing more when it waits already. What is deferred from inside run comes one turn
 * later. */
void loop_defer(struct loop *l, struct deferred *d);
/* As loop_defer, but behind everything of loop_defer, also in the same turn when that asked for it:
 * for writes, so that what a turn says goes out together. */
void loop_defer_last(struct loop *l, struct deferred *d);
/* Forgets it; harmless when it does not wait. */
void deferred_cancel(struct deferred *d);

/* One-shot or repeating timer, embedded by its owner. closing it is async: embed-safe only after
 * on_close ran. */
struct timer {
	uv_timer_t uv;			 /* private */
	void (*fire)(struct timer *t);	 /* private */
	void (*closed)(struct timer *t); /* private */
};
void timer_init(struct timer *t, struct loop *l, void (*fire)(struct timer *t));
/* (Re)starts: fires after ms, then every repeat ms when repeat is not 0. */
void timer_start(struct timer *t, uint64_t ms, uint64_t repeat);
void timer_stop(struct timer *t);
bool timer_active(const struct timer *t);
/* closed may be NULL. Called once, later. */
void timer_close(struct timer *t, void (*closed)(struct timer *t));

/* Heavy or blocking work on libuv's pool. The request is embedded in what the work needs (pattern
 * B). */
struct work {
	uv_work_t uv;		      /* private */
	void (*run)(struct work *w);  /* set by work_start; thread: pool */
	void (*done)(struct work *w); /* set by work_start; thread: the loop; last statement about w
					 is the caller's */
};
/* done is always called once, also while the loop closes. Fails when libuv refuses. */
int work_start(struct work *w, struct loop *l, void (*run)(struct work *w),
	       void (*done)(struct work *w), struct err *e) must_check;

/* TERM, INT, QUIT, HUP, USR1, USR2 as callbacks on the loop. */
struct signals;
int signals_start(struct signals **out, struct loop *l, void (*on_signal)(int signum, void *arg),
		  void *arg, struct err *e) must_check;
/* They do not keep loop_run from returning. Frees later; NULL is fine. */
void signals_close(struct signals *s);

#endif
