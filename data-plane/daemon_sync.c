/* The stream, the disk cache and the note of suspects: opened at the start, closed at the end, and
 * closed for a while when another process may take over. */
#include <stdio.h>

#include "common/core/clock.h"
#include "common/core/log.h"
#include "data-plane/daemon_internal.h"

enum { PATH_SIZE = 4096 };

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

void daemon_sync_open(struct daemon *d)
{
	open_cache(d);
	open_suspects(d);
	apply_set_cache(d->apply, d->cache);
	apply_watch(d->apply, d->suspects);
}

void daemon_sync_load(struct daemon *d)
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

int daemon_sync_start(struct daemon *d, struct err *e)
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
		.on_change = daemon_changed,
		.on_want_answer = daemon_want_answer,
		.arg = d,
	};

	return c->cluster_control_plane
		       ? sync_client_start(&d->client, &d->loop, d->apply, &conf, e)
		       : 0;
}

/* --- closing: each close starts the next --- */

static void on_cache_closed(void *arg)
{
	struct daemon *d = arg;

	d->cache = NULL;
	d->synced_off(d);
}

static void on_client_closed(void *arg)
{
	struct daemon *d = arg;

	d->client = NULL;
	if (d->apply) { /* not when the start failed before it */
		apply_set_cache(d->apply, NULL);
		apply_watch(d->apply, NULL);
		on_demand_update(&d->on_demand, false);
	}
	suspects_close(d->suspects);
	d->suspects = NULL;
	if (d->cache)
		cache_close(d->cache, on_cache_closed, d);
	else
		on_cache_closed(d);
}

void daemon_sync_close(struct daemon *d, void (*done)(struct daemon *d))
{
	d->synced_off = done;
	if (d->client)
		sync_client_close(d->client, on_client_closed, d);
	else
		on_client_closed(d);
}

/* --- again --- */

static int skip_text(struct str s, void *arg, struct err *e)
{
	(void)s;
	(void)arg;
	(void)e;
	return 0;
}

static int skip_commit(struct str epoch, uint64_t revision, void *arg, struct err *e)
{
	(void)epoch;
	(void)revision;
	(void)arg;
	(void)e;
	return 0;
}

static void skip_rollback(void *arg)
{
	(void)arg;
}

void daemon_sync_resume(struct daemon *d)
{
	/* What it holds is in the tables: read to find its end. */
	const struct cache_loader l = {skip_text, skip_text, skip_commit, skip_rollback, NULL};
	struct err e = ERR_INIT;

	daemon_sync_open(d);
	if (d->cache && cache_load(d->cache, &l, &e) != 0)
		log_warn("the cache is behind until the next snapshot", log_err(&e));
	if (daemon_sync_start(d, &e) != 0)
		log_error("no stream", log_err(&e));
}
