#include "data-plane/worker.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "common/core/clock.h"
#include "common/core/log.h"
#include "common/core/sm.h"
#include "data-plane/worker_internal.h"

enum {
	DRAIN_CHECK_MS = 10,
	CONNECTIONS_DEFAULT = 65536,
	DESCRIPTORS_KEPT = 256, /* of the limit: for what is not a client */
};

static const struct sm_state worker_states[WORKER_STATES] = {
	[WORKER_RUNNING] = {"running", SM_TO(WORKER_DRAINING)},
	[WORKER_DRAINING] = {"draining", SM_TO(WORKER_CLOSING) | SM_TO(WORKER_STOPPED)},
	[WORKER_CLOSING] = {"closing", SM_TO(WORKER_STOPPED)},
	[WORKER_STOPPED] = {"stopped", 0},
};
static const struct sm worker_sm = {"worker", worker_states, WORKER_STATES};

static void worker_move(struct worker *w, enum worker_state to)
{
	char id[16];

	snprintf(id, sizeof(id), "%u", w->number);
	w->state = (enum worker_state)sm_move(&worker_sm, w->state, to, id);
}

/* --- each turn --- */

static void publish(atomic_size_t *at, size_t n)
{
	atomic_store_explicit(at, n, memory_order_relaxed);
}

static void publish_facts(struct worker *w)
{
	struct upstream_pool_facts pool = {0};
	size_t n = w->streams.count;

	for (size_t i = 0; i < w->port_count; i++)
		n += w->ports[i].http.session_count;
	upstream_pool_facts(w->proxy.pool, &pool);
	publish(&w->connections, n);
	publish(&w->stream_count, w->streams.count);
	publish(&w->tunnel_count, w->proxy.tunnels);
	publish(&w->arrivals, w->accepted_total);
	publish(&w->waiting, w->hellos.waiting);
	publish(&w->held_count, w->held.count);
	publish(&w->pool_idle, pool.idle);
	publish(&w->pool_busy, pool.busy);
	publish(&w->pool_connecting, pool.connecting);
}

void worker_on_prepare(uv_prepare_t *h)
{
	struct worker *w = container_of(h, struct worker, prepare);

	hits_flush(&w->hits);
	publish_facts(w);
	held_turn(&w->held);
	hello_queue_turn(&w->hellos);
	proxy_turn(&w->proxy);
	rcu_leave();
}

/* --- stopping --- */

/* thread: sync */
static void worker_gone(void *arg)
{
	struct worker *w = arg;
	struct workers *all = w->all;

	uv_thread_join(&w->thread);
	w->started = false;
	if (--all->running == 0)
		all->conf.on_stopped(all->conf.arg);
}

static void stop_accepting(struct worker *w)
{
	for (size_t i = 0; i < w->port_count; i++) {
		if (!w->ports[i].listener)
			continue;
		listener_close(w->ports[i].listener, NULL, NULL);
		w->ports[i].listener = NULL;
		http_server_drain(&w->ports[i].http);
	}
}

/* The first is right after the loop took what waited to be accepted: closing the listener resets
 * what comes in between (F35). */
void worker_on_drain_check(struct timer *t)
{
	struct worker *w = container_of(t, struct worker, drain);

	stop_accepting(w);
	if (w->state == WORKER_DRAINING && clock_mono_ns() >= w->drain_until_ns) {
		worker_move(w, WORKER_CLOSING);
		for (size_t i = 0; i < w->port_count; i++)
			http_server_close(&w->ports[i].http, NULL, NULL);
		conn_close_group(&w->conns);
	}
	/* Streams and tunnels end after their clients: they are written down. */
	if (list_empty(&w->conns) && w->streams.count == 0 && w->proxy.tunnels == 0) {
		worker_move(w, WORKER_STOPPED);
		loop_stop(&w->loop);
	}
}

struct drain_order {
	struct worker *worker;
	uint64_t until_ns;
};

static void drain(void *arg)
{
	struct drain_order *o = arg;
	struct worker *w = o->worker;

	if (w->state == WORKER_RUNNING) {
		worker_move(w, WORKER_DRAINING);
		w->drain_until_ns = o->until_ns;
		timer_start(&w->drain, 1, DRAIN_CHECK_MS);
	} else if (o->until_ns < w->drain_until_ns) {
		w->drain_until_ns = o->until_ns;
	}
	free(o);
}

static void order_drain(struct worker *w, uint64_t until_ns)
{
	struct err e = ERR_INIT;
	struct drain_order *o = malloc(sizeof(*o));

	bool gone;
	int rc = -1;

	if (o)
		*o = (struct drain_order){w, until_ns};
	/* A second order may meet a worker that has just finished the first. */
	uv_mutex_lock(&w->lock);
	gone = w->gone;
	if (o && !gone)
		rc = loop_post(&w->loop, drain, o, &e);
	uv_mutex_unlock(&w->lock);
	if (gone) {
		free(o);
	} else if (rc != 0) {
		log_crit("out of memory while stopping", log_err(&e));
		abort();
	}
}

void workers_drain(struct workers *all, uint64_t drain_ms)
{
	uint64_t until = clock_mono_ns() + drain_ms * 1000000ULL;

	for (size_t i = 0; i < all->count; i++)
		if (all->items[i]->started)
			order_drain(all->items[i], until);
}

/* --- waking --- */

static void wake(void *arg)
{
	struct worker *w = arg;

	uv_mutex_lock(&w->lock);
	w->woken = false;
	uv_mutex_unlock(&w->lock);
	held_look(&w->held);
}

/* One that cannot be told looks when the time of what it holds is over. */
static void wake_one(struct worker *w)
{
	struct err e = ERR_INIT;
	int rc = 0;

	uv_mutex_lock(&w->lock);
	if (!w->gone && !w->woken) {
		rc = loop_post(&w->loop, wake, w, &e);
		w->woken = rc == 0;
	}
	uv_mutex_unlock(&w->lock);
	if (rc != 0)
		log_error("a worker is not woken", log_err(&e));
}

void workers_wake(struct workers *all)
{
	for (size_t i = 0; i < all->count; i++)
		if (all->items[i]->started)
			wake_one(all->items[i]);
}

/* --- threads --- */

/* thread: the worker's */
static void worker_main(void *arg)
{
	struct worker *w = arg;
	struct err e = ERR_INIT;

	rcu_start();
	revocation_set_of_worker(w->revocation);
	loop_run(&w->loop);
	uv_mutex_lock(&w->lock);
	w->gone = true;
	uv_mutex_unlock(&w->lock);
	worker_close(w);
	rcu_stop();
	OPENSSL_thread_stop();
	if (loop_post(w->all->conf.sync, worker_gone, w, &e) != 0) {
		log_crit("out of memory while stopping", log_err(&e));
		abort();
	}
}

static size_t connection_limit(const struct dp_config *c)
{
	struct rlimit r;
	size_t max = CONNECTIONS_DEFAULT;

	if (c->max_connections > 0)
		return (size_t)c->max_connections;
	if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur != RLIM_INFINITY &&
	    r.rlim_cur < max + DESCRIPTORS_KEPT)
		max = r.rlim_cur > 2 * DESCRIPTORS_KEPT ? r.rlim_cur - DESCRIPTORS_KEPT
							: DESCRIPTORS_KEPT;
	return max;
}

static struct worker *worker_make(struct workers *all, unsigned number)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	if (uv_mutex_init(&w->lock) != 0) {
		free(w);
		return NULL;
	}
	w->all = all;
	w->number = number;
	list_init(&w->conns);
	return w;
}

static int open_all(struct workers *all, struct err *e)
{
	unsigned char fallback[TICKET_SECRET_SIZE];
	int rc = 0;

	if (RAND_bytes(fallback, sizeof(fallback)) != 1)
		return err_openssl(e, ERR_INTERNAL, "no random ticket secret");
	for (size_t i = 0; rc == 0 && i < all->count; i++) {
		all->items[i] = worker_make(all, (unsigned)i);
		rc = all->items[i] ? worker_open(all->items[i], fallback, e)
				   : err_memory(e, "making a worker");
	}
	rc = rc ? rc : workers_open_leftovers(all, e);
	OPENSSL_cleanse(fallback, sizeof(fallback));
	return rc;
}

/* Fewer threads than asked for are better than none. */
static int start_all(struct workers *all, struct err *e)
{
	for (size_t i = 0; i < all->count; i++) {
		struct worker *w = all->items[i];
		int rc = uv_thread_create(&w->thread, worker_main, w);

		if (rc == 0) {
			w->started = true;
			all->running++;
			continue;
		}
		err_errno(e, ERR_UNAVAILABLE, -rc, "starting a worker thread");
		log_error("worker not started", log_err(e));
		worker_close(w);
	}
	return all->running > 0 ? 0 : -1;
}

int workers_start(struct workers **out, const struct workers_conf *c, struct err *e)
{
	size_t n = c->config->workers > 0 ? (size_t)c->config->workers
					  : (size_t)uv_available_parallelism();
	struct workers *all = calloc(1, sizeof(*all) + n * sizeof(struct worker *));

	if (!all)
		return err_memory(e, "making workers");
	all->conf = *c;
	all->count = n;
	if (edge_init(&all->edge, c->config, n, e) != 0) {
		free(all);
		return -1;
	}
	all->max_per_worker = (connection_limit(c->config) + n - 1) / n;
	if (open_all(all, e) != 0) {
		for (size_t i = 0; i < n && all->items[i]; i++)
			worker_close(all->items[i]);
		workers_free(all);
		return -1;
	}
	if (start_all(all, e) != 0) {
		workers_free(all);
		return -1;
	}
	*out = all;
	return 0;
}

int workers_sockets(const struct workers *all, struct sockets *out, struct err *e)
{
	for (size_t i = 0; i < all->count; i++)
		for (size_t k = 0; all->items[i]->started && k < all->items[i]->port_count; k++)
			if (sockets_add(out, &all->items[i]->ports[k].entry->addr,
					all->items[i]->ports[k].fd, e) != 0)
				return -1;
	return 0;
}

void workers_free(struct workers *all)
{
	if (!all)
		return;
	for (size_t i = 0; i < all->count && all->items[i]; i++) {
		uv_mutex_destroy(&all->items[i]->lock);
		free(all->items[i]);
	}
	edge_deinit(&all->edge);
	free(all);
}

static size_t look(const atomic_size_t *at)
{
	return atomic_load_explicit(at, memory_order_relaxed);
}

void workers_facts(const struct workers *all, struct workers_facts *out)
{
	*out = (struct workers_facts){0};
	for (size_t i = 0; i < all->count; i++) {
		const struct worker *w = all->items[i];

		out->connections += look(&w->connections);
		out->arrivals += look(&w->arrivals);
		out->streams += look(&w->stream_count);
		out->tunnels += look(&w->tunnel_count);
		out->hellos_waiting += look(&w->waiting);
		out->held += look(&w->held_count);
		out->pool_idle += look(&w->pool_idle);
		out->pool_busy += look(&w->pool_busy);
		out->pool_connecting += look(&w->pool_connecting);
	}
}

struct edge *workers_edge(struct workers *all)
{
	return &all->edge;
}
