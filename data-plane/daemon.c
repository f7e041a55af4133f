#include "data-plane/daemon.h"

#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/core/clock.h"
#include "common/core/log.h"
#include "common/core/sm.h"
#include "data-plane/daemon_internal.h"
#include "data-plane/node.h"
#include "data-plane/plugins/plugins.h"

enum {
	EXIT_FAILED = 1,
	EXIT_CONFIG = 2,
	HOUSEKEEPING_MS = 1000,
	CROWD_MIN = 1000, /* see give_back_memory */
	CROWD_LEFT = 4,
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

static void daemon_move(struct daemon *d, enum daemon_state to)
{
	d->state = (enum daemon_state)sm_move(&daemon_sm, d->state, to, d->node_id);
}

/* --- stopping: each close starts the next --- */

static void on_status_closed(void *arg)
{
	struct daemon *d = arg;

	d->status = NULL;
	loop_stop(&d->loop);
}

static void on_synced_off(struct daemon *d)
{
	if (d->status)
		status_close(d->status, on_status_closed, d);
	else
		on_status_closed(d);
}

static void close_all(struct daemon *d)
{
	daemon_move(d, DAEMON_CLOSING);
	daemon_sync_close(d, on_synced_off);
}

static void on_workers_stopped(void *arg)
{
	struct daemon *d = arg;

	if (d->state != DAEMON_CLOSING)
		close_all(d);
}

void daemon_stop(struct daemon *d)
{
	if (d->state == DAEMON_SERVING || d->state == DAEMON_DRAINING) {
		bool now = d->state == DAEMON_DRAINING; /* asked twice */

		if (!now)
			daemon_move(d, DAEMON_DRAINING);
		if (d->upgrade) {
			upgrade_close(d->upgrade);
			d->upgrade = NULL;
		}
		(void)serving_drain(&d->serving, now);
	} else if (d->state == DAEMON_WAITING) {
		close_all(d);
	}
}

static void on_signal(int signum, void *arg)
{
	struct daemon *d = arg;

	if (signum == SIGUSR1) {
		serving_reopen_logs(&d->serving);
		return;
	}
	if (signum == SIGHUP) {
		daemon_reload(d);
	} else if (signum == SIGUSR2) {
		daemon_upgrade(d);
	} else {
		log_notice("stopping", log_i64("signal", signum));
		daemon_stop(d);
	}
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
	struct dp_config config;
	bool taking = d->handover.sockets.count > 0;

	if (daemon_config(d, &config, e) != 0)
		return -1;
	if (serving_start(&d->serving, &config, taking ? &d->handover.sockets : NULL, e) != 0) {
		conf_free(dp_config_keys, dp_config_key_count, &config);
		return -1;
	}
	daemon_move(d, DAEMON_SERVING);
	handover_ready(&d->handover);
	log_notice("serving", log_u64("revision", apply_revision(d->apply)),
		   log_u64("certificates", atomic_load(&d->tables->certs.certs.count)),
		   log_u64("names", atomic_load(&d->tables->certs.names.count)));
	return 0;
}

/* A revision was applied, or a stream opened or closed. */
void daemon_changed(void *arg)
{
	struct daemon *d = arg;
	struct err e = ERR_INIT;

	(void)daemon_stale_seconds(d);
	backends_update(d->backends, d->client && sync_client_connected(d->client));
	on_demand_update(&d->on_demand, d->client && sync_client_connected(d->client));
	if (d->state != DAEMON_WAITING || apply_epoch(d->apply)[0] == '\0')
		return;
	if (serve(d, &e) == 0)
		return;
	log_crit("start failed", log_err(&e));
	d->exit_code = EXIT_CONFIG;
	daemon_stop(d);
}

void daemon_want_answer(const struct want_answer *a, void *arg)
{
	struct daemon *d = arg;

	on_demand_answer(&d->on_demand, a);
}

/* When a crowd has left, its memory goes back to the system: the allocator would keep it for the
 * next one. */
static void give_back_memory(struct daemon *d)
{
	struct workers_facts f;
	size_t crowd;

	serving_facts(&d->serving, &f);
	crowd = f.arrivals - d->arrivals + f.connections;
	d->arrivals = f.arrivals;
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

	(void)daemon_stale_seconds(d);
	tables_reap(d->tables);
	backends_tick(d->backends);
	if (d->suspects)
		suspects_tick(d->suspects, clock_mono_ns() / 1000000);
	if (d->state != DAEMON_SERVING)
		return;
	watch_tick(&d->watch);
	give_back_memory(d);
}

/* --- starting --- */

static int start_status(struct daemon *d, struct err *e)
{
	const struct status_conf c = {
		.listen = d->config->status_listen,
		.metrics = d->stats.metrics,
		.facts = daemon_facts,
		.sockets = &d->handover.sockets,
		.arg = d,
	};

	if (metrics_on_render(d->stats.metrics, daemon_render, d, e) != 0)
		return -1;
	return status_start(&d->status, &d->loop, &c, e);
}

static void init_serving(struct daemon *d)
{
	serving_init(&d->serving);
	d->serving.conf = (struct workers_conf){
		.tables = d->tables,
		.stats = &d->stats,
		.backends = d->backends,
		.wishes = &d->on_demand.board,
		.sync = &d->loop,
		.on_hits = on_hits,
	};
	d->serving.on_stopped = on_workers_stopped;
	d->serving.arg = d;
}

static bool on_send(struct buf *message, void *arg)
{
	struct daemon *d = arg;

	return d->client && sync_client_send(d->client, message);
}

static int start_backends(struct daemon *d, struct err *e)
{
	const struct backends_options o = {.loop = &d->loop,
					   .config = d->config,
					   .tables = d->tables,
					   .send = on_send,
					   .arg = d};

	return backends_create(&d->backends, &o, e);
}

static void on_wake(void *arg)
{
	struct daemon *d = arg;

	serving_wake(&d->serving);
}

static void on_wish_event(enum wish_event event, void *arg)
{
	struct daemon *d = arg;

	stats_on_demand(&d->stats, event);
}

static int start_on_demand(struct daemon *d, struct err *e)
{
	const struct on_demand_options o = {
		.loop = &d->loop,
		.tables = d->tables,
		.names_max = (size_t)d->config->on_demand_names_max,
		.send = on_send,
		.wake = on_wake,
		.count = on_wish_event,
		.arg = d,
	};

	return on_demand_init(&d->on_demand, &o, e);
}

static int start(struct daemon *d, struct err *e)
{
	if (node_identity(d->config->prefix, d->node_id, e) != 0 ||
	    signals_start(&d->signals, &d->loop, on_signal, d, e) != 0 ||
	    stats_init(&d->stats, (size_t)d->config->metrics_max_routes, e) != 0 ||
	    tables_create(&d->tables, plugin_kinds, e) != 0)
		return -1;
	if (start_backends(d, e) != 0 || start_on_demand(d, e) != 0)
		return -1;
	init_serving(d);
	d->watch.tables = d->tables;
	d->apply = apply_create(d->tables, NULL);
	if (!d->apply)
		return err_memory(e, "starting");
	if (d->config->tls_certificate_verify)
		apply_enforce_verification(d->apply);
	daemon_sync_open(d);
	if (start_status(d, e) != 0)
		return -1;
	daemon_sync_load(d);
	backends_update(d->backends, false);
	timer_start(&d->housekeeping, HOUSEKEEPING_MS, HOUSEKEEPING_MS);
	if (apply_epoch(d->apply)[0] == '\0')
		daemon_move(d, DAEMON_WAITING);
	else if (serve(d, e) != 0)
		return -1;
	if (daemon_sync_start(d, e) == 0)
		return 0;
	d->exit_code = EXIT_CONFIG;
	log_crit("start failed", log_err(e));
	daemon_stop(d);
	return 0;
}

static void deinit(struct daemon *d)
{
	signals_close(d->signals);
	timer_close(&d->housekeeping, NULL);
	backends_close(d->backends);
	on_demand_close(&d->on_demand);
	watch_close(&d->watch);
	loop_deinit(&d->loop);
	backends_free(d->backends);
	on_demand_deinit(&d->on_demand);
	apply_free(d->apply);
	sockets_deinit(&d->handover.sockets);
	tables_free(d->tables);
	stats_deinit(&d->stats);
}

int daemon_run(const struct daemon_start *o)
{
	struct daemon d = {.config = o->config,
			   .config_file = o->config_file,
			   .argv = o->argv,
			   .handover = o->handover};
	struct err e = ERR_INIT;

	if (gethostname(d.hostname, sizeof(d.hostname) - 1) != 0)
		d.hostname[0] = '\0';
	d.connected_ns = clock_mono_ns();
	if (loop_init(&d.loop, &e) != 0) {
		log_crit("start failed", log_err(&e));
		return EXIT_FAILED;
	}
	timer_init(&d.housekeeping, &d.loop, on_housekeeping);
	d.watch = (struct watch){
		.config = o->config, .stats = &d.stats, .loop = &d.loop, .serving = &d.serving};
	watch_init(&d.watch);
	if (start(&d, &e) != 0) {
		log_crit("start failed", log_err(&e));
		d.exit_code = EXIT_CONFIG;
		close_all(&d);
	}
	loop_run(&d.loop);
	deinit(&d);
	return d.exit_code;
}
