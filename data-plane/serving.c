#include "data-plane/serving.h"

#include <stdlib.h>

#include "common/core/log.h"

/* One set of workers with the configuration that they were started with. */
struct set {
	struct link link;
	struct serving *serving;
	struct workers *workers;
	struct dp_config config;
};

void serving_init(struct serving *s)
{
	list_init(&s->sets);
	s->gone = 0;
	s->draining = false;
}

static struct set *newest(const struct serving *s)
{
	struct link *it = list_first(&s->sets);

	return it ? container_of(it, struct set, link) : NULL;
}

static void free_set(struct set *set)
{
	conf_free(dp_config_keys, dp_config_key_count, &set->config);
	free(set);
}

static void on_hits(const struct hit *h, size_t n, void *arg)
{
	const struct set *set = arg;

	set->serving->conf.on_hits(h, n, set->serving->arg);
}

static void on_set_stopped(void *arg)
{
	struct set *set = arg;
	struct serving *s = set->serving;
	struct workers_facts f;

	list_remove(&set->link);
	workers_facts(set->workers, &f);
	s->gone += f.arrivals;
	workers_free(set->workers);
	free_set(set);
	if (s->draining && list_empty(&s->sets))
		s->on_stopped(s->arg);
}

static int start_workers(struct set *set, struct sockets *sockets, struct err *e)
{
	struct workers_conf conf = set->serving->conf;

	conf.config = &set->config;
	conf.sockets = sockets;
	conf.on_hits = on_hits;
	conf.on_stopped = on_set_stopped;
	conf.arg = set;
	return workers_start(&set->workers, &conf, e);
}

int serving_start(struct serving *s, struct dp_config *config, struct sockets *sockets,
		  struct err *e)
{
	struct set *old = newest(s);
	struct set *set = calloc(1, sizeof(*set));
	struct sockets own;
	int rc = 0;

	if (!set)
		return err_memory(e, "starting workers");
	sockets_init(&own);
	set->serving = s;
	set->config = *config;
	if (!sockets && old)
		rc = workers_sockets(old->workers, &own, e);
	if (rc == 0)
		rc = start_workers(set, sockets ? sockets : &own, e);
	sockets_deinit(&own);
	if (rc != 0) {
		free(set);
		return -1;
	}
	*config = (struct dp_config){0};
	list_push_front(&s->sets, &set->link);
	if (old)
		workers_drain(old->workers, old->config.drain_timeout);
	return 0;
}

const struct dp_config *serving_config(const struct serving *s)
{
	const struct set *set = newest(s);

	return set ? &set->config : NULL;
}

int serving_sockets(const struct serving *s, struct sockets *out, struct err *e)
{
	const struct set *set = newest(s);

	return set ? workers_sockets(set->workers, out, e) : 0;
}

bool serving_drain(struct serving *s, bool now)
{
	s->draining = true;
	list_for_each(it, &s->sets)
	{
		struct set *set = container_of(it, struct set, link);

		workers_drain(set->workers, now ? 0 : set->config.drain_timeout);
	}
	return !list_empty(&s->sets);
}

void serving_facts(const struct serving *s, struct workers_facts *out)
{
	*out = (struct workers_facts){.arrivals = s->gone};
	list_for_each(it, &s->sets)
	{
		struct workers_facts f;

		workers_facts(container_of(it, struct set, link)->workers, &f);
		out->connections += f.connections;
		out->arrivals += f.arrivals;
		out->hellos_waiting += f.hellos_waiting;
		out->held += f.held;
		out->pool_idle += f.pool_idle;
		out->pool_busy += f.pool_busy;
		out->pool_connecting += f.pool_connecting;
		out->streams += f.streams;
		out->tunnels += f.tunnels;
	}
}

void serving_each_edge(const struct serving *s, void (*fn)(struct edge *x, void *arg), void *arg)
{
	list_for_each(it, &s->sets)
		fn(workers_edge(container_of(it, struct set, link)->workers), arg);
}

void serving_wake(const struct serving *s)
{
	list_for_each(it, &s->sets) workers_wake(container_of(it, struct set, link)->workers);
}

static void reopen(struct edge *x, void *arg)
{
	(void)arg;
	access_log_reopen(x->log);
}

void serving_reopen_logs(const struct serving *s)
{
	serving_each_edge(s, reopen, NULL);
}
