/* Entering and leaving the tables as a reader: userspace RCU, flavour QSBR.
 *
 * A registered thread is online (what it reads stays in memory) or offline (it holds no table
 * pointer and may block). Workers go online at their first look-up of a loop turn and offline in a
 * uv_prepare, just before they poll: libuv runs I/O callbacks inside its poll phase, so that there
 * is no hook between waking up and the first callback.
 *
 *     register ─▶ offline ⇄ online ─▶ offline ─▶ unregister
 *
 * liburcu itself is not built with the thread sanitizer; the rcu_tsan_* marks tell the sanitizer
 * what liburcu's barriers order. Thread: any registered one.
 */
#ifndef CARDEA_TABLES_RCU_H
#define CARDEA_TABLES_RCU_H

#include <urcu-qsbr.h>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RCU_TSAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define RCU_TSAN 1
#endif

#ifdef RCU_TSAN
/* Of the sanitizer's run time: what was released at addr happened before what acquires it. */
void __tsan_acquire(void *addr);
/* The other half. */
void __tsan_release(void *addr);
/* Read by the sanitizer at start. */
const char *__tsan_default_suppressions(void);
/* Stands for liburcu's grace period. */
extern char rcu_tsan_grace;
#define rcu_tsan_acquire(p) __tsan_acquire(p)
#define rcu_tsan_release(p) __tsan_release(p)
#define rcu_tsan_leave() __tsan_release(&rcu_tsan_grace)
#define rcu_tsan_grace_passed() __tsan_acquire(&rcu_tsan_grace)
#else
#define rcu_tsan_acquire(p) ((void)(p))
#define rcu_tsan_release(p) ((void)(p))
#define rcu_tsan_leave() ((void)0)
#define rcu_tsan_grace_passed() ((void)0)
#endif

/* Registers the calling thread, offline. */
static inline void rcu_start(void)
{
	rcu_register_thread();
	rcu_thread_offline();
}

static inline void rcu_enter(void)
{
	if (!rcu_read_ongoing())
		rcu_thread_online();
}

/* From here on the thread holds no pointer into the tables. */
static inline void rcu_leave(void)
{
	if (rcu_read_ongoing()) {
		rcu_tsan_leave();
		rcu_thread_offline();
	}
}

static inline void rcu_stop(void)
{
	rcu_leave();
	rcu_unregister_thread();
}

#endif
