/* What the files of the daemon share; nobody else includes it. */
#ifndef CARDEA_DP_DAEMON_INTERNAL_H
#define CARDEA_DP_DAEMON_INTERNAL_H

#include "common/core/codec.h"
#include "data-plane/backends.h"
#include "data-plane/daemon.h"
#include "data-plane/proxy/stats.h"
#include "data-plane/serving.h"
#include "data-plane/status.h"
#include "data-plane/sync/apply.h"
#include "data-plane/sync/cache.h"
#include "data-plane/sync/client.h"
#include "data-plane/sync/on_demand.h"
#include "data-plane/sync/suspects.h"
#include "data-plane/tables/tables.h"
#include "data-plane/upgrade.h"
#include "data-plane/watch.h"

enum { DAEMON_HOST_SIZE = 256 };

enum daemon_state {
	DAEMON_STARTING,
	DAEMON_WAITING, /* nothing to serve yet */
	DAEMON_SERVING,
	DAEMON_DRAINING,
	DAEMON_CLOSING,
	DAEMON_STATES,
};

/* owner: daemon_run, thread: sync. */
struct daemon {
	const struct dp_config *config; /* of the start: what is not the workers' */
	const char *config_file;
	char **argv;
	struct handover handover;
	enum daemon_state state;
	int exit_code;
	char node_id[UUID_TEXT_SIZE];
	char hostname[DAEMON_HOST_SIZE];
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
	struct backends *backends;
	struct on_demand on_demand;
	struct serving serving;
	struct watch watch;
	struct status *status;
	bool upgrading;			      /* from the signal to the new process's word */
	struct upgrade *upgrade;	      /* NULL: no process was started */
	void (*synced_off)(struct daemon *d); /* after daemon_sync_close */
	size_t arrivals;		      /* connections ever, when last looked at */
	size_t crowd; /* the most in one second since memory was given back */
};

/* daemon.c */
/* Begins to stop; asked twice: at once. */
void daemon_stop(struct daemon *d);
/* A revision was applied, or a stream opened or closed. */
void daemon_changed(void *arg);

/* What the control plane said of a name that was asked for. */
void daemon_want_answer(const struct want_answer *a, void *arg);

/* daemon_facts.c */
uint64_t daemon_stale_seconds(struct daemon *d);
void daemon_facts(struct status_facts *out, void *arg);
/* Before metrics are shown. */
void daemon_render(void *arg);

/* daemon_sync.c: the stream, the disk cache and the note of suspects */
void daemon_sync_open(struct daemon *d);
/* Reads the cache into the tables. */
void daemon_sync_load(struct daemon *d);
int daemon_sync_start(struct daemon *d, struct err *e) must_check;
/* Ends the stream and finishes the cache; then, later or at once, done(d). */
void daemon_sync_close(struct daemon *d, void (*done)(struct daemon *d));
/* After daemon_sync_close: opens everything again, at what the tables hold. */
void daemon_sync_resume(struct daemon *d);

/* daemon_change.c: another configuration, another binary */
/* Reads the configuration again; workers start anew with it. */
void daemon_reload(struct daemon *d);
/* Starts the binary again and hands the sockets over. */
void daemon_upgrade(struct daemon *d);
/* A copy of the configuration, checked, for workers. */
int daemon_config(const struct daemon *d, struct dp_config *out, struct err *e) must_check;
/* Everything that listens, for the process that comes next. */
int daemon_sockets(const struct daemon *d, struct sockets *out, struct err *e) must_check;

#endif
