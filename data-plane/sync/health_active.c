/* Active checks.
 *
 * Happy path: timer -> a round of the healthy, or of the unhealthy, addresses of an upstream whose
 * time has come -> as many probes as may run -> judged -> the next in line.
 * Failure paths: a probe that cannot be made counts as one that found nobody. */
#include <stdio.h>

#include "common/core/clock.h"
#include "common/core/log.h"
#include "data-plane/sync/health_internal.h"

enum { TICK_MIN_MS = 10 };
static const uint64_t second_ns = 1000000000ULL;

static void judge(struct checked_address *a, const struct upstream *u, enum probe_result r,
		  unsigned status)
{
	const struct check_rule *good = &u->checks.active.healthy;
	const struct check_rule *bad = &u->checks.active.unhealthy;

	if (r == PROBE_STATUS)
		health_count_status(a, status, good, bad);
	else if (r == PROBE_CONNECTED)
		health_count(a, HEALTH_COUNT_SUCCESS, good, bad);
	else
		health_count(a, r == PROBE_TIMEOUT ? HEALTH_COUNT_TIMEOUT : HEALTH_COUNT_TCP, good,
			     bad);
}

static void start_probes(struct health *h, struct checked *c);

static void on_probed(enum probe_result r, unsigned status, void *arg)
{
	struct checked_address *a = arg;
	struct health *h = a->health;
	const struct upstream *u = health_upstream(h, a->upstream);

	a->probe = NULL;
	h->running--;
	a->upstream->running--;
	h->facts.failures += r == PROBE_FAILED || r == PROBE_TIMEOUT;
	if (u)
		judge(a, u, r, status);
	rcu_leave();
	/* The next in line: of this upstream, or of one that found no room among all. */
	start_probes(h, a->upstream);
	list_for_each(it, &h->upstreams)
	{
		if (h->running >= HEALTH_PROBES_MAX)
			break;
		start_probes(h, container_of(it, struct checked, link));
	}
}

/* What the check's connection is made with; t->ctx NULL: plain. The name is the one of `https_sni`,
 * or the target's. */
static int probe_tls(struct health_tls *t, const struct checked_address *a,
		     const struct upstream *u, struct err *e)
{
	const struct health_options *o = &a->health->options;
	enum check_type type = u->checks.active.type;
	struct str name = u->checks.active.sni.ptr ? u->checks.active.sni : str_from(a->host);

	t->ctx = NULL;
	if (type != CHECK_HTTPS && type != CHECK_GRPCS)
		return 0;
	if (!o->tls)
		return err_set(e, ERR_UNAVAILABLE, "no TLS to upstreams");
	return o->tls(t, u, name, type == CHECK_GRPCS, o->origins, e);
}

static int probe(struct checked_address *a, const struct upstream *u, struct err *e)
{
	struct health *h = a->health;
	char authority[HEALTH_HOST_MAX + 16];
	struct health_tls tls;
	struct probe_options o = {
		.loop = h->options.loop,
		.addr = &a->report.addr,
		.type = u->checks.active.type,
		.path = u->checks.active.path,
		.headers = u->checks.active.headers,
		.header_count = u->checks.active.header_count,
		.timeout_ms = (uint64_t)(u->checks.active.timeout * 1000),
		.done = on_probed,
		.arg = a,
	};
	int rc;

	snprintf(authority, sizeof(authority), strchr(a->host, ':') ? "[%s]:%u" : "%s:%u", a->host,
		 addr_port(&a->report.addr));
	o.host = str_from(authority);
	if (probe_tls(&tls, a, u, e) < 0)
		return -1;
	o.tls = tls.ctx;
	o.server_name = tls.ctx ? tls.name : NULL;
	h->facts.probes++;
	rc = probe_start(&a->probe, &o, e);
	SSL_CTX_free(tls.ctx);
	return rc;
}

static void start_probe(struct checked_address *a, const struct upstream *u)
{
	struct err e = ERR_INIT;

	a->waits = false;
	if (probe(a, u, &e) == 0) {
		a->health->running++;
		a->upstream->running++;
	} else {
		log_warn("health check not made", log_str("target", a->host), log_err(&e));
		judge(a, u, PROBE_FAILED, 0);
	}
}

/* Starts those that wait, as many as may run. */
static void start_probes(struct health *h, struct checked *c)
{
	const struct upstream *u = h->closing ? NULL : health_upstream(h, c);

	for (struct link *it = c->addresses.next; u && it != &c->addresses; it = it->next) {
		struct checked_address *a = container_of(it, struct checked_address, link);

		if (c->running >= u->checks.active.concurrency || h->running >= HEALTH_PROBES_MAX)
			break;
		if (a->waits && !a->probe)
			start_probe(a, u);
	}
	rcu_leave();
}

/* --- time --- */

static double interval_of(const struct upstream *u, bool unhealthy)
{
	return unhealthy ? u->checks.active.unhealthy.interval : u->checks.active.healthy.interval;
}

/* A round of those that are healthy, or of those that are not, when its time has come. */
static void round_of(struct checked *c, const struct upstream *u, bool unhealthy, uint64_t now)
{
	double interval = interval_of(u, unhealthy);

	if (interval <= 0) {
		c->due_ns[unhealthy] = 0;
		return;
	}
	if (c->due_ns[unhealthy] > now)
		return;
	c->due_ns[unhealthy] = now + (uint64_t)(interval * (double)second_ns);
	list_for_each(it, &c->addresses)
	{
		struct checked_address *a = container_of(it, struct checked_address, link);

		if (health_has_address(a) && health_state_is_down(&a->state) == unhealthy &&
		    a->health->options.allowed(&a->report.addr, a->health->options.rules))
			a->waits = true;
	}
}

static void arm(struct health *h)
{
	uint64_t next = UINT64_MAX, now = clock_mono_ns();

	list_for_each(it, &h->upstreams)
	{
		const struct checked *c = container_of(it, struct checked, link);

		for (unsigned i = 0; i < 2; i++)
			if (c->due_ns[i] && c->due_ns[i] < next)
				next = c->due_ns[i];
	}
	if (h->closing || next == UINT64_MAX)
		return;
	timer_start(&h->timer, (next > now ? (next - now) / 1000000 : 0) + TICK_MIN_MS, 0);
}

void health_tick(struct timer *t)
{
	struct health *h = container_of(t, struct health, timer);
	uint64_t now = clock_mono_ns();

	list_for_each(it, &h->upstreams)
	{
		struct checked *c = container_of(it, struct checked, link);
		const struct upstream *u = health_upstream(h, c);

		if (!u)
			continue;
		round_of(c, u, false, now);
		round_of(c, u, true, now);
		start_probes(h, c);
	}
	rcu_leave();
	arm(h);
}
