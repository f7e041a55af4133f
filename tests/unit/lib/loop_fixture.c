#include "tests/unit/lib/loop_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void on_deadline(struct timer *t)
{
	struct loop_fixture *f = container_of(t, struct loop_fixture, deadline);

	f->expired = uv_hrtime() > f->deadline_ns;
}

void fixture_init(struct loop_fixture *f)
{
	struct err e = ERR_INIT;

	if (loop_init(&f->loop, &e) < 0)
		fail_msg("loop_init: %s", e.message);
	timer_init(&f->deadline, &f->loop, on_deadline);
	f->expired = false;
}

void fixture_deinit(struct loop_fixture *f)
{
	timer_close(&f->deadline, NULL);
	loop_deinit(&f->loop);
}

void fixture_start(struct loop_fixture *f)
{
	f->expired = false;
	f->deadline_ns = uv_hrtime() + FIXTURE_DEADLINE_MS * UINT64_C(1000000);
	timer_start(&f->deadline, FIXTURE_TICK_MS, FIXTURE_TICK_MS);
}

void fixture_turn(struct loop_fixture *f, const char *what, const char *file, int line)
{
	uv_run(&f->loop.uv, UV_RUN_ONCE);
	if (f->expired)
		fail_msg("%s:%d: waited in vain for: %s", file, line, what);
}

void fixture_spin(struct loop_fixture *f, int n)
{
	/* A loop without an active handle would make no turn at all. */
	if (!uv_is_active((const uv_handle_t *)&f->deadline.uv))
		fixture_start(f);
	for (int i = 0; i < n; i++)
		uv_run(&f->loop.uv, UV_RUN_NOWAIT);
}
