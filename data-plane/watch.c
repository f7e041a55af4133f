#include "data-plane/watch.h"

#include <malloc.h>
#include <openssl/pem.h>
#include <stdio.h>

#include "common/core/clock.h"
#include "common/core/log.h"
#include "common/pki/cert.h"
#include "data-plane/tables/rcu.h"

/* --- memory --- */

static void sample(struct edge *x, void *arg)
{
	struct memory_guard *g = &x->memory;
	bool *tight = arg;

	if (memory_guard_sample(g))
		log_warn(memory_guard_is_tight(g) ? "memory is tight: no new work is taken"
						  : "memory is free again",
			 log_u64("resident", g->resident), log_u64("memory_limit", g->limit));
	*tight = *tight || memory_guard_is_tight(g);
}

static void on_memory(struct timer *t)
{
	struct watch *w = container_of(t, struct watch, memory);
	uint64_t now = clock_mono_ns() / 1000000;
	bool tight = false;

	serving_each_edge(w->serving, sample, &tight);
	/* The allocator keeps what was freed: without this it would stay tight. */
	if (tight && now - w->trimmed_ms >= WATCH_TRIM_MS) {
		malloc_trim(0);
		w->trimmed_ms = clock_mono_ns() / 1000000;
	}
}

static void has_limit(struct edge *x, void *arg)
{
	bool *any = arg;

	*any = *any || x->memory.limit > 0;
}

/* A reload may have set or removed the limit. */
static void look_at_limits(struct watch *w)
{
	bool any = false;

	serving_each_edge(w->serving, has_limit, &any);
	if (any && !timer_active(&w->memory))
		timer_start(&w->memory, MEMORY_SAMPLE_MS, MEMORY_SAMPLE_MS);
	else if (!any)
		timer_stop(&w->memory);
}

/* --- certificates --- */

/* thread: pool. A reader of the tables like any worker. */
static void count_expiry(struct work *work)
{
	struct watch *w = container_of(work, struct watch, count);

	rcu_start();
	expiry_count(&w->tables->certs, tables_enter(w->tables), clock_wall_s(), &w->expiry);
	rcu_leave();
	rcu_stop();
}

static void expiry_counted(struct work *work)
{
	struct watch *w = container_of(work, struct watch, count);

	w->counting = false;
	w->counted = true;
}

static void read_cluster_cert(struct watch *w)
{
	FILE *f = w->config->cluster_cert ? fopen(w->config->cluster_cert, "re") : NULL;
	X509 *cert = f ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;
	struct cert_info info;

	if (cert) {
		cert_info(cert, &info);
		w->cluster_cert_ends = (double)info.not_after;
	}
	X509_free(cert);
	if (f)
		(void)fclose(f);
}

static void look_at_certificates(struct watch *w)
{
	uint64_t now = clock_mono_ns() / 1000000000ULL,
		 generation = atomic_load(&w->tables->generation);
	uint64_t after =
		generation == w->counted_generation ? WATCH_EXPIRY_S : WATCH_EXPIRY_CHANGED_S;
	struct err e = ERR_INIT;

	if (w->counting || (w->counted && now - w->counted_s < after))
		return;
	read_cluster_cert(w);
	w->counted_s = now;
	w->counted_generation = generation;
	w->counting = work_start(&w->count, w->loop, count_expiry, expiry_counted, &e) == 0;
	if (!w->counting)
		log_warn("ends of certificates not looked at", log_err(&e));
}

/* --- life --- */

void watch_init(struct watch *w)
{
	timer_init(&w->memory, w->loop, on_memory);
}

void watch_tick(struct watch *w)
{
	look_at_limits(w);
	look_at_certificates(w);
}

void watch_close(struct watch *w)
{
	timer_close(&w->memory, NULL);
}

struct edge_facts {
	uint64_t resident, dropped;
	bool tight;
};

static void look(struct edge *x, void *arg)
{
	struct edge_facts *f = arg;

	if (x->memory.resident > f->resident)
		f->resident = x->memory.resident;
	f->dropped += access_log_dropped(x->log);
	f->tight = f->tight || memory_guard_is_tight(&x->memory);
}

static void show_workers(struct watch *w)
{
	struct edge_facts x = {0};
	struct workers_facts f;

	serving_each_edge(w->serving, look, &x);
	serving_facts(w->serving, &f);
	stats_set(w->stats, STATS_MEMORY, (double)x.resident);
	stats_set(w->stats, STATS_MEMORY_TIGHT, x.tight);
	stats_set(w->stats, STATS_LOG_DROPPED, (double)x.dropped);
	stats_set(w->stats, STATS_HELLOS_WAITING, (double)f.hellos_waiting);
	stats_set(w->stats, STATS_HELD, (double)f.held);
	stats_set(w->stats, STATS_POOL_IDLE, (double)f.pool_idle);
	stats_set(w->stats, STATS_POOL_BUSY, (double)f.pool_busy);
	stats_set(w->stats, STATS_POOL_CONNECTING, (double)f.pool_connecting);
	stats_set(w->stats, STATS_STREAMS, (double)f.streams);
	stats_set(w->stats, STATS_TUNNELS, (double)f.tunnels);
}

void watch_render(struct watch *w)
{
	static const enum stats_gauge gauges[EXPIRY_SPANS] = {
		STATS_CERTS_EXPIRED, STATS_CERTS_7_DAYS, STATS_CERTS_14_DAYS, STATS_CERTS_30_DAYS};

	show_workers(w);
	for (size_t i = 0; w->counted && !w->counting && i < EXPIRY_SPANS; i++)
		stats_set(w->stats, gauges[i], (double)w->expiry.within[i]);
	stats_set(w->stats, STATS_NODE_INFO, 1);
	stats_set(w->stats, STATS_KONG_CERT_EXPIRY, w->cluster_cert_ends);
}
