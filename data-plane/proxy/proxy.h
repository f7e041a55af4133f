/* The proxy of one worker: what all its requests stand on. owner and thread: the worker. */
#ifndef CARDEA_PROXY_PROXY_H
#define CARDEA_PROXY_PROXY_H

#include "common/http/session.h"
#include "data-plane/proxy/budget.h"
#include "data-plane/proxy/edge.h"
#include "data-plane/proxy/hits.h"
#include "data-plane/proxy/plugin_type.h"
#include "data-plane/proxy/request_id.h"
#include "data-plane/proxy/route_stats.h"
#include "data-plane/proxy/stats.h"
#include "data-plane/proxy/targets.h"
#include "data-plane/proxy/upstream_call.h"
#include "data-plane/tables/route_match.h"
#include "data-plane/tables/tables.h"
#include "data-plane/tls/origin.h"

struct proxy_options {
	const struct tables *tables;
	struct hits *hits;
	struct stats *stats;
	struct loop *loop;
	struct edge *edge;			  /* what it holds is shared by the workers */
	size_t number;				  /* of the worker: its ring of the access log */
	size_t max_routes;			  /* metrics_max_routes */
	struct targets *targets;		  /* may be NULL: only numeric hosts are found */
	struct origin_tls_cache *origins;	  /* may be NULL: no TLS to upstreams */
	const struct plugin_type *const *plugins; /* ends with NULL; may be NULL */
	unsigned pool_size;			  /* upstream_keepalive_pool_size */
	unsigned pool_requests;			  /* upstream_keepalive_max_requests */
	uint64_t pool_idle_ms;			  /* upstream_keepalive_idle_timeout */
	unsigned upstream_connections;		  /* per endpoint; 0: no limit */
	size_t body_buffer;			  /* client_body_buffer_size */
	uint64_t body_idle_ms;			  /* client_body_timeout */
	size_t answer_buffer;			  /* response_buffer_size */
	uint64_t tunnel_idle_ms;		  /* tunnel_idle_timeout */
};

enum { PROXY_OWN_SHORT = 64 }; /* longer names are not in own_lengths */

struct proxy {
	struct proxy_options options;	 /* read */
	struct upstream_pool *pool;	 /* read */
	struct route_matcher *matcher;	 /* read */
	struct retry_budget budget;	 /* private */
	struct buf scratch;		 /* private: for one function's time */
	struct buf spare_body;		 /* private: memory of a kept body, to use again */
	uint64_t turn;			 /* private: pointers into the tables live as long */
	struct request_ids ids;		 /* private */
	uint64_t own_lengths;		 /* read: bit n: a field of a plugin's own has n bytes */
	uint64_t plugged_generation;	 /* private: what plugged is of */
	uint32_t plugged;		 /* private: bit n: of plugin n there are instances */
	struct route_stats_cache routes; /* private */
	size_t tunnels; /* read: of upgraded requests, open; the worker ends after them */
};

/* Allocates; on error proxy_deinit is still to be called. */
int proxy_init(struct proxy *p, const struct proxy_options *o, struct err *e) must_check;
/* Closes idle connections to upstreams: they are gone when the loop has run. No request may be
 * open. What never was made is left alone. */
void proxy_deinit(struct proxy *p);
/* At the end of each turn, before rcu_leave. */
void proxy_turn(struct proxy *p);

/* The handler's arg is a struct proxy; the server has manual_window and manual_continue. */
extern const struct http_handler proxy_handler;
/* For http_server.error_body: Kong's JSON. */
struct str proxy_error_body(unsigned status, struct str *content_type, void *arg);
/* For http_server.on_rejected. */
void proxy_rejected(const char *reason, void *arg);
/* For http_server.on_refused: a line of the access log. */
void proxy_refused(struct exchange *x, unsigned status, size_t bytes, void *arg);
/* For http_server.overloaded: SL-09. */
bool proxy_overloaded(void *arg);

#endif
