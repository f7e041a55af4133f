#include "data-plane/sync/target_feed.h"

#include <stdlib.h>

#include "common/core/log.h"
#include "data-plane/sync/decode.h"

struct target_feed {
	struct target_feed_options options;
	struct health *health;
	struct timer timer;
	bool whole; /* everything is to be told */
	bool begin; /* the next message is the first of it */
	bool lost;  /* no stream, or no memory: what follows waits for the next start */
	size_t count;
	struct node_target pending[TARGET_FEED_PENDING];
};

/* TargetHealth.State */
static const int states[] = {
	[HEALTH_IS_UP] = 1, [HEALTH_IS_DOWN] = 2, [HEALTH_IS_UNRESOLVED] = 3, [HEALTH_IS_GONE] = 4};

static void send_pending(struct target_feed *f)
{
	struct buf b = BUF_INIT;
	struct err e = ERR_INIT;

	if ((f->count == 0 && !f->begin) || f->lost)
		return;
	if (node_encode_targets(&b, f->pending, f->count, f->begin, &e) < 0) {
		log_error("health of targets not told", log_err(&e));
		buf_deinit(&b);
		f->lost = true;
	} else if (!f->options.send(&b, f->options.arg)) {
		buf_deinit(&b);
		f->lost = true;
	}
	f->count = 0;
	f->begin = false;
}

static void add(const struct health_report *r, void *arg)
{
	struct target_feed *f = arg;
	struct node_target *t;

	if (f->count == TARGET_FEED_PENDING)
		send_pending(f);
	t = &f->pending[f->count++];
	memcpy(t->upstream, r->upstream, sizeof(t->upstream));
	memcpy(t->target, r->target, sizeof(t->target));
	t->weight = r->weight;
	t->verdict = states[r->verdict];
	t->address[0] = '\0';
	if (r->addr.u.sa.sa_family)
		addr_text(&r->addr, t->address, sizeof(t->address));
}

static void on_timer(struct timer *t)
{
	struct target_feed *f = container_of(t, struct target_feed, timer);

	if (f->whole && f->health) {
		f->whole = false;
		f->begin = true;
		f->count = 0;
		health_each(f->health, add, f);
	}
	send_pending(f);
}

void target_feed_on_change(const struct health_report *r, void *arg)
{
	struct target_feed *f = arg;

	if (f->whole || f->lost)
		return;
	if (f->count == TARGET_FEED_PENDING)
		f->whole = true;
	else
		add(r, f);
	if (!timer_active(&f->timer))
		timer_start(&f->timer, TARGET_FEED_MS, 0);
}

void target_feed_restart(struct target_feed *f)
{
	f->whole = true;
	f->lost = false;
	timer_start(&f->timer, TARGET_FEED_MS, 0);
}

void target_feed_set_health(struct target_feed *f, struct health *h)
{
	f->health = h;
}

int target_feed_create(struct target_feed **out, const struct target_feed_options *o, struct err *e)
{
	struct target_feed *f = calloc(1, sizeof(*f));

	if (!f)
		return err_memory(e, "telling of targets");
	f->options = *o;
	f->lost = true; /* until a stream opens */
	timer_init(&f->timer, o->loop, on_timer);
	*out = f;
	return 0;
}

static void on_closed(struct timer *t)
{
	free(container_of(t, struct target_feed, timer));
}

void target_feed_close(struct target_feed *f)
{
	if (f)
		timer_close(&f->timer, on_closed);
}
