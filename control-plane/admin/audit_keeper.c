#include "control-plane/admin/audit_keeper.h"

#include <inttypes.h>

#include "common/core/compiler.h"
#include "common/core/log.h"

enum { FIRST_MS = 20000, EVERY_MS = 60000, BATCH = 5000 };

static void release(struct audit_keeper *k)
{
	if (--k->open == 0 && k->closed)
		k->closed(k->arg);
}

static void on_pruned(const struct store_result *r, void *arg)
{
	struct audit_keeper *k = arg;
	bool more = json_is_true(json_object_get(json_array_get(r->rows, 0), "more"));

	if (r->fault != STORE_OK)
		log_warn("old audit rows cannot be removed", log_err(&r->err));
	if (!k->closing)
		timer_start(&k->timer, more ? 0 : EVERY_MS, 0);
	release(k);
}

static void on_timer(struct timer *t)
{
	struct audit_keeper *k = container_of(t, struct audit_keeper, timer);
	char ttl[24], rows[24], batch[12];
	const char *params[] = {ttl, rows, batch};

	snprintf(ttl, sizeof(ttl), "%" PRIu64, k->conf.ttl_ms);
	snprintf(rows, sizeof(rows), "%" PRIu64, k->conf.rows_max);
	snprintf(batch, sizeof(batch), "%d", BATCH);
	k->open++;
	store_query(k->store,
		    "SELECT cardea_prune_audit($1::bigint * interval '1 millisecond', $2::bigint, "
		    "$3::integer) AS more",
		    params, array_len(params), on_pruned, k);
}

void audit_keeper_init(struct audit_keeper *k, struct loop *l, struct store *s,
		       const struct audit_conf *c)
{
	*k = (struct audit_keeper){.store = s, .conf = *c, .open = 1};
	timer_init(&k->timer, l, on_timer);
	if (c->ttl_ms && !store_read_only(s))
		timer_start(&k->timer, FIRST_MS, 0);
}

static void timer_closed(struct timer *t)
{
	release(container_of(t, struct audit_keeper, timer));
}

void audit_keeper_close(struct audit_keeper *k, void (*closed)(void *arg), void *arg)
{
	k->closing = true;
	k->closed = closed;
	k->arg = arg;
	timer_close(&k->timer, timer_closed);
}
