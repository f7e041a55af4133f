#include "data-plane/daemon.h"

#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/core/clock.h"
#include "common/core/log.h"
#include "common/core/sm.h"
#include "data-plane/node.h"
#include "data-plane/status.h"
#include "data-plane/sync/apply.h"
#include "data-plane/sync/cache.h"
#include "data-plane/sync/client.h"
#include "data-plane/sync/suspects.h"
#include "data-plane/tables/tables.h"
#include "data-plane/worker.h"

enum {
	EXIT_FAILED = 1,
	EXIT_CONFIG = 2,
	HOUSEKEEPING_MS = 1000,
	CROWD_MIN = 1000, /* see give_back_memory */
	CROWD_LEFT = 4,
	PATH_SIZE = 4096,
	HOST_SIZE = 256
};

enum daemon_state {
	DAEMON_STARTING,
	DAEMON_WAITING, /* nothing to serve yet */
	DAEMON_SERVING,
	DAEMON_DRAINING,
	DAEMON_CLOSING,
	DAEMON_STATES,
};

static const struct sm_state daemon_states[DAEMON_STATES] = {
	[DAEMON_STARTING] = {"starting",
			     SM_TO(DAEMON_WAITING) | SM_TO(DAEMON_SERVING) | SM_TO(DAEMON_CLOSING)},
	[DAEMON_WAITING] = {"waiting", SM_TO(DAEMON_SERVING) | SM_TO(DAEMON_CLOSING)},
	[DAEMON_SERVING] = {"serving", SM_TO(DAEMON_DRAINING)},
	[DAEMON_DRAINING] = {"draining", SM_TO(DAEMON_CLOSING)},
	[DAEMON_CLOSING] = {"closing", 0},
};
static const struct sm daemon_sm = {"daemon", daemon_states, DAEMON_STATES};

/* owner: daemon_run, thread: sync. */
struct daemon {
	const struct dp_config *config;
	const char *config_file;
	enum daemon_state state;
	int exit_code;
	char node_id[UUID_TEXT_SIZE];
	char hostname[HOST_SIZE];
	char why_not_ready[ERR_MESSAGE_SIZE + 64];
	uint64_t connected_ns; /* when a control plane was last heard, or the start */
	struct loop loop;
	struct signals *signals;
	struct timer housekeeping;
	struct stats stats;
	struct tables *tables;
	struct cache *cache;	   /* NULL: without */
	struct suspects *suspects; /* NULL: without */
	struct apply *apply;
	struct sync_client *client; /* NULL: no control plane is configured */
	struct workers *workers;
	struct status *status;
	size_t arrivals; /* connections ever, when last looked at */
	size_t crowd;	 /* the most in one second since memory was given back */
};

static void daemon_move(struct daemon *d, enum daemon_state to)
{
	d->state = (enum daemon_state)sm_move(&daemon_sm, d->state, to, d->node_id);
}

/* --- what is true now --- */

static bool is_connected(const struct daemon *d)
{
	return d->client && sync_client_connected(d->client);
}

static uint64_t stale_seconds(struct daemon *d)
{
	uint64_t now = clock_mono_ns();

	if (is_connected(d))
		d->connected_ns = now;
	return (now - d->connected_ns) / 1000000000ULL;
}

static const char *stream_problem(const struct daemon *d)
{
	return d->client ? sync_client_problem(d->client) : "no control plane is configured";
}

static const char *not_ready(struct daemon *d)
{
	if (d->state == DAEMON_SERVING)
		return NULL;
	if (d->state >= DAEMON_DRAINING)
		return "draining";
	snprintf(d->why_not_ready, sizeof(d->why_not_ready),
		 "no configuration yet: none in the cache, and no control plane has sent one%s%s",
		 stream_problem(d)[0] ? ": " : "", stream_problem(d));
	return d->why_not_ready;
}

static void on_facts(struct status_facts *out, void *arg)
{
	struct daemon *d = arg;

	*out = (struct status_facts){
		.node_id = d->node_id,
		.epoch = apply_epoch(d->apply),
		.revision = apply_revision(d->apply),
		.not_ready = not_ready(d),
		.connected = is_connected(d),
		.problem = stream_problem(d),
		.stale_seconds = stale_seconds(d),
		.connections = d->workers ? workers_connections(d->workers) : 0,
		.certificates = atomic_load(&d->tables->certs.certs.count),
		.names = atomic_load(&d->tables->certs.names.count),
	};
	out->others[CHANGE_ROUTE] = atomic_load(&d->tables->routes.routes.count);
	for (unsigned k = CHANGE_SERVICE; k < CHANGE_KINDS; k++)
		out->others[k] = atomic_load(&d->tables->entities.kinds[k - CHANGE_SERVICE].count);
}

static void on_render(void *arg)
{
	struct daemon *d = arg;
	struct stats *s = &d->stats;
	struct status_facts f;
	struct cache_stats c = {0};

	on_facts(&f, d);
	if (d->cache)
		cache_stats(d->cache, &c);
	stats_set(s, STATS_REVISION, (double)f.revision);
	stats_set(s, STATS_CONNECTED, f.connected);
	stats_set(s, STATS_STALE_SECONDS, (double)f.stale_seconds);
	stats_set(s, STATS_READY, f.not_ready == NULL);
	stats_set(s, STATS_CERTIFICATES, (double)f.certificates);
	stats_set(s, STATS_NAMES, (double)f.names);
	stats_set(s, STATS_CHALLENGES, (double)atomic_load(&d->tables->challenges.live.count));
	stats_set(s, STATS_TICKET_SECRETS, (double)atomic_load(&d->tables->tickets.secrets.count));
	stats_set(s, STATS_CONNECTIONS, (double)f.connections);
	stats_set(s, STATS_CACHE_COMMITS, (double)c.commits);
	stats_set(s, STATS_CACHE_REWRITES, (double)c.rewrites);
	stats_set(s, STATS_CACHE_FAILED, (double)c.failed);
	stats_set(s, STATS_CACHE_BYTES, (double)c.size);
	stats_set(s, STATS_CACHE_BEHIND, c.behind);
	if (d->suspects) {
		stats_set(s, STATS_ON_TRIAL, (double)suspects_on_trial(d->suspects));
		stats_set(s, STATS_REFUSED, (double)suspects_refused(d->suspects));
	}
}

/* --- stopping: each close starts the next --- */

static void on_status_closed(void *arg)
{
	struct daemon *d = arg;

	d->status = NULL;
	loop_stop(&d->loop);
}

static void on_cache_closed(void *arg)
{
	struct daemon *d = arg;

	d->cache = NULL;
	if (d->status)
		status_close(d->status, on_status_closed, d);
	else
		on_status_closed(d);
}

static void on_client_closed(void *arg)
{
	struct daemon *d = arg;

	d->client = NULL;
	apply_free(d->apply);
	d->apply = apply_create(d->tables, NULL); /* for /status, until it is closed */
	if (d->cache)
		cache_close(d->cache, on_cache_closed, d);
	else
		on_cache_closed(d);
}

static void close_all(struct daemon *d)
{
	daemon_move(d, DAEMON_CLOSING);
	if (d->client)
		sync_client_close(d->client, on_client_closed, d);
	else
		on_client_closed(d);
}

static void on_workers_stopped(void *arg)
{
	struct daemon *d = arg;

	workers_free(d->workers);
	d->workers = NULL;
	if (d->state != DAEMON_CLOSING)
		close_all(d);
}

static void stop(struct daemon *d)
{
	if (d->state == DAEMON_SERVING) {
		daemon_move(d, DAEMON_DRAINING);
		workers_drain(d->workers, d->config->drain_timeout);
	} else if (d->state == DAEMON_DRAINING) {
		workers_drain(d->workers, 0); /* asked twice */
	} else if (d->state == DAEMON_WAITING) {
		close_all(d);
	}
}

static void reload(struct daemon *d)
{
	struct dp_config fresh = {0};
	struct err e = ERR_INIT;

	if (conf_load(dp_config_keys, dp_config_key_count, &fresh, d->config_file, &e) != 0) {
		log_error("configuration not read again", log_err(&e));
		return;
	}
	log_set_level((enum log_level)fresh.log_level);
	log_notice("log level set",
		   log_str("log_level", log_level_name((enum log_level)fresh.log_level)));
	conf_free(dp_config_keys, dp_config_key_count, &fresh);
}

static void on_signal(int signum, void *arg)
{
	struct daemon *d = arg;

	if (signum == SIGUSR1)
		return;
	if (signum == SIGHUP) {
		reload(d);
		return;
	}
	log_notice("stopping", log_i64("signal", signum));
	stop(d);
}

/* --- running --- */

static void on_hits(const struct hit *h, size_t n, void *arg)
{
	struct daemon *d = arg;

	for (size_t i = 0; d->client && i < n; i++)
		sync_client_hit(d->client, h[i].challenge_id, h[i].count);
}

static int serve(struct daemon *d, struct err *e)
{
	const struct workers_conf c = {
		.config = d->config,
		.tables = d->tables,
		.stats = &d->stats,
		.sync = &d->loop,
		.on_hits = on_hits,
		.on_stopped = on_workers_stopped,
		.arg = d,
	};

	if (workers_start(&d->workers, &c, e) != 0)
		return -1;
	daemon_move(d, DAEMON_SERVING);
	log_notice("serving", log_u64("revision", apply_revision(d->apply)),
		   log_u64("certificates", atomic_load(&d->tables->certs.certs.count)),
		   log_u64("names", atomic_load(&d->tables->certs.names.count)));
	return 0;
}

/* A revision was applied, or a stream opened or closed. */
static void on_change(void *arg)
{
	struct daemon *d = arg;
	struct err e = ERR_INIT;

	(void)stale_seconds(d);
	if (d->state != DAEMON_WAITING || apply_epoch(d->apply)[0] == '\0')
		return;
	if (serve(d, &e) == 0)
		return;
	log_crit("start failed", log_err(&e));
	d->exit_code = EXIT_CONFIG;
	stop(d);
}

/* When a crowd has left, its memory goes back to the system: the allocator would keep it for the
 * next one. */
static void give_back_memory(struct daemon *d)
{
	size_t arrivals = d->workers ? workers_arrivals(d->workers) : 0;
	size_t crowd = arrivals - d->arrivals + (d->workers ? workers_connections(d->workers) : 0);

	d->arrivals = arrivals;
	if (crowd > d->crowd)
		d->crowd = crowd;
	if (d->crowd < CROWD_MIN || crowd > d->crowd / CROWD_LEFT)
		return;
	malloc_trim(0);
	d->crowd = crowd;
}

static void on_housekeeping(struct timer *t)
{
	struct daemon *d = container_of(t, struct daemon, housekeeping);

	(void)stale_seconds(d);
	tables_reap(d->tables);
	if (d->suspects)
		suspects_tick(d->suspects, clock_mono_ns() / 1000000);
	if (d->state == DAEMON_SERVING)
		give_back_memory(d);
}

/* --- starting --- */

static void open_cache(struct daemon *d)
{
	char key_file[PATH_SIZE];
	struct err e = ERR_INIT;
	const struct cache_conf c = {
		.folder = d->config->prefix,
		.key_file = d->config->cache_key_file ? d->config->cache_key_file : key_file,
		.node_id = d->node_id,
		.loop = &d->loop,
	};

	snprintf(key_file, sizeof(key_file), "%s/cache.key", d->config->prefix);
	if (cache_create(&d->cache, &c, &e) != 0)
		log_error("no disk cache", log_err(&e));
}

/* Without them a crash is not remembered. */
static void open_suspects(struct daemon *d)
{
	struct err e = ERR_INIT;

	if (suspects_open(&d->suspects, d->config->prefix, clock_mono_ns() / 1000000, &e) != 0)
		log_error("crashes are not remembered", log_err(&e));
}

static void load_cache(struct daemon *d)
{
	uint64_t begin = clock_mono_ns();
	struct err e = ERR_INIT;

	if (!d->cache)
		return;
	if (apply_load(d->apply, &e) != 0)
		log_notice("nothing in the cache", log_err(&e));
	else
		log_notice("cache loaded", log_u64("revision", apply_revision(d->apply)),
			   log_u64("milliseconds", (clock_mono_ns() - begin) / 1000000));
}

static int start_client(struct daemon *d, struct err *e)
{
	const struct dp_config *c = d->config;
	const struct sync_client_conf conf = {
		.control_planes = c->cluster_control_plane,
		.server_name = c->cluster_server_name,
		.cert_file = c->cluster_cert,
		.key_file = c->cluster_cert_key,
		.ca_file = c->cluster_ca_cert,
		.node_id = d->node_id,
		.hostname = d->hostname,
		.labels = c->node_labels,
		.keepalive_ms = c->cluster_keepalive,
		.on_change = on_change,
		.arg = d,
	};

	return c->cluster_control_plane
		       ? sync_client_start(&d->client, &d->loop, d->apply, &conf, e)
		       : 0;
}

static int start_status(struct daemon *d, struct err *e)
{
	const struct status_conf c = {
		.listen = d->config->status_listen,
		.metrics = d->stats.metrics,
		.facts = on_facts,
		.arg = d,
	};

	if (metrics_on_render(d->stats.metrics, on_render, d, e) != 0)
		return -1;
	return status_start(&d->status, &d->loop, &c, e);
}

static int start(struct daemon *d, struct err *e)
{
	if (node_identity(d->config->prefix, d->node_id, e) != 0 ||
	    signals_start(&d->signals, &d->loop, on_signal, d, e) != 0 ||
	    stats_init(&d->stats, e) != 0 || tables_create(&d->tables, e) != 0)
		return -1;
	open_cache(d);
	d->apply = apply_create(d->tables, d->cache);
	if (!d->apply)
		return err_memory(e, "starting");
	open_suspects(d);
	apply_watch(d->apply, d->suspects);
	if (start_status(d, e) != 0)
		return -1;
	load_cache(d);
	timer_start(&d->housekeeping, HOUSEKEEPING_MS, HOUSEKEEPING_MS);
	if (apply_epoch(d->apply)[0] == '\0')
		daemon_move(d, DAEMON_WAITING);
	else if (serve(d, e) != 0)
		return -1;
	if (start_client(d, e) == 0)
		return 0;
	d->exit_code = EXIT_CONFIG;
	log_crit("start failed", log_err(e));
	stop(d);
	return 0;
}

static void deinit(struct daemon *d)
{
	signals_close(d->signals);
	timer_close(&d->housekeeping, NULL);
	loop_deinit(&d->loop);
	apply_free(d->apply);
	suspects_close(d->suspects);
	tables_free(d->tables);
	stats_deinit(&d->stats);
}

int daemon_run(const struct dp_config *config, const char *config_file)
{
	struct daemon d = {.config = config, .config_file = config_file};
	struct err e = ERR_INIT;

	if (gethostname(d.hostname, sizeof(d.hostname) - 1) != 0)
		d.hostname[0] = '\0';
	d.connected_ns = clock_mono_ns();
	if (loop_init(&d.loop, &e) != 0) {
		log_crit("start failed", log_err(&e));
		return EXIT_FAILED;
	}
	timer_init(&d.housekeeping, &d.loop, on_housekeeping);
	if (start(&d, &e) != 0) {
		log_crit("start failed", log_err(&e));
		d.exit_code = EXIT_CONFIG;
		close_all(&d);
	}
	loop_run(&d.loop);
	deinit(&d);
	return d.exit_code;
}
