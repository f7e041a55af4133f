/* HUP: the configuration is read again and, where it touches them, new workers serve with it. USR2:
 * the binary is started again and takes over.
 *
 *     serving ─HUP──▶ new workers on the same sockets; old ones drain
 *     serving ─USR2─▶ stream and cache closed ─▶ new process ─ ready ─▶ draining
 *                                                    └─ failed ─▶ stream and cache again
 *
 * While the new process starts, this one serves what it holds. Two processes never write one cache,
 * and never hold a stream under one node id. */
#include <string.h>

#include "common/core/log.h"
#include "data-plane/daemon_internal.h"

int daemon_config(const struct daemon *d, struct dp_config *out, struct err *e)
{
	*out = (struct dp_config){0};
	if (conf_load(dp_config_keys, dp_config_key_count, out, d->config_file, e) != 0)
		return -1;
	if (dp_config_check_all(out, e) == 0)
		return 0;
	conf_free(dp_config_keys, dp_config_key_count, out);
	return -1;
}

int daemon_sockets(const struct daemon *d, struct sockets *out, struct err *e)
{
	if (serving_sockets(&d->serving, out, e) != 0)
		return -1;
	return d->status ? status_sockets(d->status, out, e) : 0;
}

/* --- reload --- */

/* Keys of what is not made anew by a reload. */
static const char *const fixed_keys[] = {
	"status_listen",       "cluster_control_plane",
	"cluster_server_name", "cluster_cert",
	"cluster_cert_key",    "cluster_ca_cert",
	"cluster_keepalive",   "prefix",
	"cache_key_file",      "node_labels",
	"log_format",	       "upstream_allow_private",
	"dns_resolver",	       "dns_hostsfile",
	"dns_order",	       "dns_cache_size",
	"dns_timeout",	       "dns_valid_ttl",
	"dns_min_ttl",	       "dns_max_ttl",
	"dns_stale_ttl",       "dns_error_ttl",
	"dns_not_found_ttl",
};

static bool is_fixed(const struct conf_key *k)
{
	for (size_t i = 0; i < array_len(fixed_keys); i++)
		if (str_eq(str_from(k->name), str_from(fixed_keys[i])))
			return true;
	return false;
}

static bool same_value(const struct conf_key *k, const struct dp_config *a,
		       const struct dp_config *b)
{
	struct buf x = BUF_INIT, y = BUF_INIT;
	bool same = conf_value_text(k, a, &x, NULL) == 0 && conf_value_text(k, b, &y, NULL) == 0 &&
		    str_eq(buf_str(&x), buf_str(&y));

	buf_deinit(&x);
	buf_deinit(&y);
	return same;
}

static void warn_of_fixed(const struct daemon *d, const struct dp_config *fresh)
{
	for (size_t i = 0; i < dp_config_key_count; i++) {
		const struct conf_key *k = &dp_config_keys[i];

		if (is_fixed(k) && !same_value(k, d->config, fresh))
			log_warn("changes with the next start or upgrade", log_str("key", k->name));
	}
}

static bool names_a_file(const struct conf_key *k, const struct dp_config *c)
{
	char *path;

	if (k->type != CONF_PATH)
		return false;
	memcpy(&path, (const char *)c + k->offset, sizeof(path));
	return path != NULL;
}

/* Whether workers would be made with something else than those that serve: a value, or a file that
 * may have changed. Clients keep their connections when not. */
static bool touches_workers(const struct daemon *d, const struct dp_config *fresh)
{
	const struct dp_config *now = serving_config(&d->serving);

	for (size_t i = 0; now && i < dp_config_key_count; i++) {
		const struct conf_key *k = &dp_config_keys[i];

		if (is_fixed(k) || str_eq(str_from(k->name), STR("log_level")))
			continue;
		if (names_a_file(k, fresh) || !same_value(k, now, fresh))
			return true;
	}
	return false;
}

void daemon_reload(struct daemon *d)
{
	struct dp_config fresh;
	struct err e = ERR_INIT;
	bool touched;
	int level;

	if (d->upgrading || d->state > DAEMON_SERVING) {
		log_warn("not reloaded: this process is about to stop");
		return;
	}
	if (daemon_config(d, &fresh, &e) != 0) {
		log_error("configuration not read again", log_err(&e));
		return;
	}
	level = fresh.log_level;
	warn_of_fixed(d, &fresh);
	touched = touches_workers(d, &fresh);
	if (touched && serving_start(&d->serving, &fresh, NULL, &e) != 0) {
		conf_free(dp_config_keys, dp_config_key_count, &fresh);
		log_error("configuration not taken: the old one goes on", log_err(&e));
		return;
	}
	if (touched && backends_reload(d->backends, &fresh, &e) != 0)
		log_error("health checks go on with the TLS of before", log_err(&e));
	conf_free(dp_config_keys, dp_config_key_count, &fresh);
	log_set_level((enum log_level)level);
	log_notice("configuration read again",
		   log_str("log_level", log_level_name((enum log_level)level)));
}

/* --- upgrade --- */

static void end_upgrade(struct daemon *d)
{
	upgrade_close(d->upgrade);
	d->upgrade = NULL;
	d->upgrading = false;
}

static void on_ready(void *arg)
{
	struct daemon *d = arg;

	log_notice("the new process serves");
	end_upgrade(d);
	/* Both would answer on it, and this one that it is not ready. */
	if (d->status)
		status_close(d->status, NULL, NULL);
	d->status = NULL;
	daemon_stop(d);
}

static void on_failed(const struct err *why, void *arg)
{
	struct daemon *d = arg;

	log_error("upgrade failed: this process goes on", log_err(why));
	end_upgrade(d);
	daemon_sync_resume(d);
}

static int start_process(struct daemon *d, struct err *e)
{
	const struct upgrade_conf c = {
		.argv = d->argv,
		.upgrade_ms = d->config->upgrade_timeout,
		.on_ready = on_ready,
		.on_failed = on_failed,
		.arg = d,
	};
	struct sockets sockets;
	int rc;

	sockets_init(&sockets);
	rc = daemon_sockets(d, &sockets, e);
	rc = rc ? rc : upgrade_start(&d->upgrade, &d->loop, &sockets, &c, e);
	sockets_deinit(&sockets);
	return rc;
}

static void on_synced_off(struct daemon *d)
{
	struct err e = ERR_INIT;

	if (d->state != DAEMON_SERVING) { /* told to stop meanwhile */
		d->upgrading = false;
		daemon_stop(d);
		return;
	}
	if (start_process(d, &e) != 0)
		on_failed(&e, d);
}

void daemon_upgrade(struct daemon *d)
{
	struct dp_config fresh;
	struct err e = ERR_INIT;

	if (d->upgrading || d->state != DAEMON_SERVING) {
		log_warn("not upgraded: this process is not serving, or already on its way out");
		return;
	}
	if (daemon_config(d, &fresh, &e) != 0) {
		log_error("not upgraded: the configuration is not good", log_err(&e));
		return;
	}
	conf_free(dp_config_keys, dp_config_key_count, &fresh);
	log_notice("starting a new process to take over", log_str("program", d->argv[0]));
	d->upgrading = true;
	daemon_sync_close(d, on_synced_off);
}
