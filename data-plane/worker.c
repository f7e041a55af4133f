#include "data-plane/worker.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "common/core/clock.h"
#include "common/core/log.h"
#include "common/core/sm.h"
#include "common/http/session.h"
#include "common/net/listener.h"
#include "data-plane/proxy/front.h"
#include "data-plane/tls/ctx.h"

enum {
	DRAIN_CHECK_MS = 10,
	RECOUNT_MS = 50, /* at the connection limit, connections are counted so often */
	CONNECTIONS_DEFAULT = 65536,
	DESCRIPTORS_KEPT = 256, /* of the limit: for what is not a client */
};

enum worker_state {
	WORKER_RUNNING,
	WORKER_DRAINING,
	WORKER_CLOSING,
	WORKER_STOPPED,
	WORKER_STATES
};

static const struct sm_state worker_states[WORKER_STATES] = {
	[WORKER_RUNNING] = {"running", SM_TO(WORKER_DRAINING)},
	[WORKER_DRAINING] = {"draining", SM_TO(WORKER_CLOSING) | SM_TO(WORKER_STOPPED)},
	[WORKER_CLOSING] = {"closing", SM_TO(WORKER_STOPPED)},
	[WORKER_STOPPED] = {"stopped", 0},
};
static const struct sm worker_sm = {"worker", worker_states, WORKER_STATES};

struct worker;

/* One address of one worker. */
struct port {
	struct worker *worker;
	struct listener *listener; /* NULL: closed */
	struct http_server http;
	struct tls_ctx *tls; /* NULL: plain; borrowed from the worker */
};

/* owner: workers, thread: its own, but what is marked. */
struct worker {
	struct workers *all;
	unsigned number;
	uv_thread_t thread; /* the sync thread's */
	bool started;	    /* the sync thread's */
	uv_mutex_t lock;    /* of gone */
	bool gone;	    /* its loop takes no more posts */
	enum worker_state state;
	struct loop loop;
	bool loop_made;
	uv_prepare_t prepare;
	struct timer drain;
	uint64_t drain_until_ns;
	struct parsed_cache *parsed;
	struct ticket_keys *tickets;
	struct tls_ctx *tls[2]; /* [http2] */
	struct hits hits;
	struct front front;
	struct port ports[LISTEN_ENTRIES_MAX];
	size_t port_count;
	struct link conns; /* every client connection, also in its handshake */
	size_t accepted;   /* since the last count, and the count */
	uint64_t counted_ns;
	size_t accepted_total;
	atomic_size_t connections, arrivals; /* read by any thread; arrivals: accepted_total */
};

struct workers {
	struct workers_conf conf;
	size_t max_per_worker;
	size_t count, running;
	struct worker *items[];
};

static void worker_move(struct worker *w, enum worker_state to)
{
	char id[16];

	snprintf(id, sizeof(id), "%u", w->number);
	w->state = (enum worker_state)sm_move(&worker_sm, w->state, to, id);
}

/* --- each turn --- */

/* Last before the loop polls. */
static void on_prepare(uv_prepare_t *h)
{
	struct worker *w = container_of(h, struct worker, prepare);
	size_t n = 0;

	hits_flush(&w->hits);
	for (size_t i = 0; i < w->port_count; i++)
		n += w->ports[i].http.session_count;
	atomic_store_explicit(&w->connections, n, memory_order_relaxed);
	atomic_store_explicit(&w->arrivals, w->accepted_total, memory_order_relaxed);
	rcu_leave();
}

static void on_handshake(enum tls_outcome outcome, void *arg)
{
	struct worker *w = arg;

	stats_handshake(w->all->conf.stats, outcome);
}

/* --- accepting --- */

static size_t count_conns(const struct worker *w)
{
	size_t n = 0;

	list_for_each(it, &w->conns) n++;
	return n;
}

/* Counting costs a walk: it is done when as many were accepted as could fill the limit, and then
 * not more often than every RECOUNT_MS. */
static bool is_full(struct worker *w)
{
	uint64_t now;

	if (w->accepted < w->all->max_per_worker)
		return false;
	now = clock_mono_ns();
	if (now - w->counted_ns < RECOUNT_MS * 1000000ULL)
		return true;
	w->counted_ns = now;
	w->accepted = count_conns(w);
	return w->accepted >= w->all->max_per_worker;
}

static int on_accept(struct listener *l, struct conn_options *o, void *arg)
{
	struct port *p = arg;
	struct worker *w = p->worker;
	struct err e = ERR_INIT;

	(void)l;
	if (is_full(w)) {
		stats_refused(w->all->conf.stats);
		return -1;
	}
	if (http_server_accept(&p->http, o, &e) != 0)
		return -1;
	o->tls = p->tls ? tls_ctx_ssl(p->tls) : NULL;
	o->handshake_timeout_ms = w->all->conf.config->ssl_handshake_timeout;
	o->group = &w->conns;
	w->accepted++;
	w->accepted_total++;
	return 0;
}

static void on_conn(struct listener *l, struct conn *c, const struct err *e, void *arg)
{
	struct port *p = arg;

	if (c)
		return;
	(void)l;
	stats_refused(p->worker->all->conf.stats);
	log_warn("connection not accepted", log_err(e));
}

/* --- making --- */

static int make_tls(struct worker *w, bool http2, struct err *e)
{
	const struct workers_conf *conf = &w->all->conf;
	const struct tls_ctx_options o = {
		.tables = conf->tables,
		.parsed = w->parsed,
		.tickets = w->tickets,
		.cert_file = conf->config->ssl_cert,
		.key_file = conf->config->ssl_cert_key,
		.http2 = http2,
		.on_handshake = on_handshake,
		.arg = w,
	};

	return w->tls[http2] ? 0 : tls_ctx_create(&w->tls[http2], &o, e);
}

static struct http_limits limits_of(const struct dp_config *c)
{
	return (struct http_limits){
		.request_line = c->client_request_line_size,
		.field = c->client_header_size,
		.head = c->client_headers_size,
		.fields = (unsigned)c->client_headers_max,
		.body = c->client_max_body_size,
		.requests_per_connection = (unsigned)c->keepalive_requests,
		.streams = (unsigned)c->http2_max_concurrent_streams,
		.head_ms = c->client_header_timeout,
		.body_idle_ms = c->client_body_timeout,
		.idle_ms = c->keepalive_timeout,
		.write_idle_ms = c->send_timeout,
	};
}

static int open_port(struct worker *w, const struct listen_entry *entry, struct err *e)
{
	struct port *p = &w->ports[w->port_count];
	struct listener_options o = {
		.entry = *entry, .on_accept = on_accept, .on_conn = on_conn, .arg = p};

	o.entry.reuseport = true; /* each worker has a socket of its own */
	p->worker = w;
	http_server_init(&p->http, &front_handler, &w->front);
	p->http.server_header = "cardea/" CARDEA_VERSION;
	p->http.limits = limits_of(w->all->conf.config);
	p->http.http2 = entry->http2;
	p->http.error_body = front_error_body;
	p->http.on_rejected = front_rejected;
	if (entry->ssl && make_tls(w, entry->http2, e) != 0)
		return -1;
	p->tls = entry->ssl ? w->tls[entry->http2] : NULL;
	if (listener_start(&p->listener, &w->loop, &o, e) != 0)
		return -1;
	w->port_count++;
	return 0;
}

static void on_drain_check(struct timer *t);

static int worker_open(struct worker *w, const unsigned char *ticket_fallback, struct err *e)
{
	const struct workers_conf *conf = &w->all->conf;
	const struct listen_list *listen = &conf->config->proxy_listen;

	if (loop_init(&w->loop, e) != 0)
		return -1;
	w->loop_made = true;
	timer_init(&w->drain, &w->loop, on_drain_check);
	uv_prepare_init(&w->loop.uv, &w->prepare);
	uv_prepare_start(&w->prepare, on_prepare);
	hits_init(&w->hits, conf->sync, conf->on_hits, conf->arg);
	w->front = (struct front){conf->tables, &w->hits, conf->stats};
	if (parsed_cache_create(&w->parsed, (size_t)conf->config->cert_cache_size, e) != 0 ||
	    ticket_keys_create(&w->tickets, conf->tables, ticket_fallback, e) != 0)
		return -1;
	for (size_t i = 0; i < listen->count; i++)
		if (open_port(w, &listen->entries[i], e) != 0)
			return -1;
	return 0;
}

/* Closes what is open and lets the loop finish. */
static void worker_close(struct worker *w)
{
	for (size_t i = 0; i < w->port_count; i++) {
		if (w->ports[i].listener)
			listener_close(w->ports[i].listener, NULL, NULL);
		w->ports[i].listener = NULL;
	}
	if (w->loop_made) {
		timer_close(&w->drain, NULL);
		uv_close((uv_handle_t *)&w->prepare, NULL);
		loop_deinit(&w->loop);
	}
	w->loop_made = false;
	for (size_t i = 0; i < array_len(w->tls); i++)
		tls_ctx_free(w->tls[i]);
	ticket_keys_free(w->tickets);
	parsed_cache_free(w->parsed);
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
static void on_drain_check(struct timer *t)
{
	struct worker *w = container_of(t, struct worker, drain);

	stop_accepting(w);
	if (w->state == WORKER_DRAINING && clock_mono_ns() >= w->drain_until_ns) {
		worker_move(w, WORKER_CLOSING);
		for (size_t i = 0; i < w->port_count; i++)
			http_server_close(&w->ports[i].http, NULL, NULL);
		conn_close_group(&w->conns);
	}
	if (list_empty(&w->conns)) {
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

/* --- threads --- */

/* thread: the worker's */
static void worker_main(void *arg)
{
	struct worker *w = arg;
	struct err e = ERR_INIT;

	rcu_start();
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
	atomic_init(&w->connections, 0);
	atomic_init(&w->arrivals, 0);
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

void workers_free(struct workers *all)
{
	if (!all)
		return;
	for (size_t i = 0; i < all->count && all->items[i]; i++) {
		uv_mutex_destroy(&all->items[i]->lock);
		free(all->items[i]);
	}
	free(all);
}

size_t workers_connections(const struct workers *all)
{
	size_t n = 0;

	for (size_t i = 0; i < all->count; i++)
		n += atomic_load_explicit(&all->items[i]->connections, memory_order_relaxed);
	return n;
}

size_t workers_arrivals(const struct workers *all)
{
	size_t n = 0;

	for (size_t i = 0; i < all->count; i++)
		n += atomic_load_explicit(&all->items[i]->arrivals, memory_order_relaxed);
	return n;
}
