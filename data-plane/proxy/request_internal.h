/* What the files of request share; nobody else includes it.
 *
 *     request.c          life, the exchange's events, the body of the client
 *     request_route.c    challenge, route, protocol, plugins
 *     request_fields.c   what is sent upstream and back
 *     request_upstream.c target, call, retries, the answer
 *     request_answer.c   answers of Cardea's own
 *     request_account.c  metrics and the access log */
#ifndef CARDEA_PROXY_REQUEST_INTERNAL_H
#define CARDEA_PROXY_REQUEST_INTERNAL_H

#include "common/core/sm.h"
#include "data-plane/proxy/proxy.h"
#include "data-plane/proxy/request.h"
#include "data-plane/proxy/tunnel.h"

enum request_state {
	REQUEST_ROUTING,
	REQUEST_PLUGINS,    /* also while one waits */
	REQUEST_BUFFERING,  /* the body is read first */
	REQUEST_PICKING,    /* also while a name is resolved */
	REQUEST_CONNECTING, /* a call was started */
	REQUEST_SENDING,    /* its head was sent */
	REQUEST_ANSWERING,  /* the upstream's head went to the client */
	REQUEST_ANSWERED,   /* Cardea's own answer did, or the exchange was aborted */
	REQUEST_DONE,
	REQUEST_STATES,
};

enum {
	REQUEST_TRIED_MAX = 16,
	REQUEST_BODY_SPARE = 128 << 10, /* a kept body's memory up to this is used again */
};

/* Lives in the arena of its exchange. */
struct request {
	struct proxy *proxy;
	struct exchange *exchange;
	const struct http_request *head;
	enum request_state state;
	struct client client;
	/* 0: not yet. connected: there is a connection to the upstream; answered: its head came. */
	uint64_t started_ns, sent_ns, connected_ns, answered_ns;
	char id[REQUEST_ID_TEXT + 1];

	/* --- route --- */
	struct str path;		/* normal form */
	struct str matched;		/* of path */
	struct route_captures captures; /* of the route's expression */
	uint64_t generation, turn;	/* the pointers below are of this turn */
	const struct route *route;	/* NULL: of another turn */
	unsigned char route_id[ROUTE_ID_SIZE];
	struct route_action action; /* its texts and ids only in the turn of routing */
	const struct service *service;
	unsigned char service_id[ENTITY_ID_SIZE];
	bool has_service;
	unsigned plugin_at;	 /* the next one */
	void (*gone)(void *arg); /* of a plugin that waits; NULL: none */
	void *gone_arg;
	bool consumer_set, anonymous;
	unsigned char consumer[ENTITY_ID_SIZE];
	struct str consumer_name;

	/* --- what is written down --- */
	unsigned status; /* of the answer; 0: none */
	unsigned upstream_status;
	uint64_t bytes_in, bytes_out; /* of bodies */
	struct str route_name, service_name;
	struct route_stats *stats; /* NULL: not counted */
	bool tunnelled;		   /* the rest is written down when the tunnel ends */

	/* --- what goes on --- */
	struct http_fields set_fields; /* of plugins; value STR_NONE: not to be sent */
	bool out_of_memory;	       /* a change of theirs was lost */
	struct http_request out;
	struct http_fields response_fields; /* added to the answer */
	struct str upgrade_hint;	    /* of a 426: `Upgrade` */

	/* --- the client's body --- */
	struct buf kept;	     /* its begin, as long as it may be sent again */
	size_t kept_sent;	     /* of kept, on the present call */
	size_t owed;		     /* bytes that the client's window still lacks */
	bool body_done;		     /* its end came */
	uint64_t body_limit;	     /* of a plugin; 0: none */
	const char *body_message;    /* to who goes over it */
	struct http_fields trailers; /* of them, what goes on: request_trailers */
	bool body_passed;	     /* bytes went on that are not kept: cannot be sent again */

	/* --- the upstream --- */
	struct upstream_call *call;
	struct target_pick pick;
	bool picked; /* targets_done is due */
	struct target_waiter waiter;
	bool waits;
	struct target_pick *tried;
	size_t tried_count;
	unsigned tries;
	bool http2;	     /* to the upstream */
	bool fresh;	     /* the next call takes a new connection */
	bool renewed;	     /* that was done once (UP-09) */
	size_t answer_owed;  /* bytes that the upstream's window still lacks */
	size_t answer_ahead; /* taken beyond what the client's queue has room for */
	unsigned retries;
	uint64_t connect_ms, write_ms, read_ms;
};

/* request.c */
void request_move(struct request *r, enum request_state to);
/* Route and service again, when this is another turn. False: the service is gone, or off. */
bool request_refresh(struct request *r);
/* Plugins are through: the body is read, or the upstream is asked. */
void request_proceed(struct request *r);
/* The body is there as far as it is waited for, or a try failed: on to the next target. */
void request_start(struct request *r);
/* Sends what is kept and, when the body is complete, its end. */
void request_send_kept(struct request *r);
void request_drop_kept(struct request *r);
/* What the client's window lacks is given back. */
void request_give_window(struct request *r);

/* request_route.c */
/* The token of a challenge's path, or STR_NONE. Pure. */
struct str request_challenge_token(struct str path);
/* True: answered. */
bool request_challenge(struct exchange *x, struct proxy *p);
void request_route_it(struct request *r);
/* Runs plugins from plugin_at on, then request_proceed. */
void request_run_plugins(struct request *r);

/* request_fields.c */
/* Fills in r->out but for what depends on the target. */
int request_make_out(struct request *r) must_check;
/* What goes on of the trailers of a body that is complete: not what Cardea alone may say (TR-04).
 * Without memory: none. */
const struct http_fields *request_trailers(struct request *r);
/* Path and authority for the target that was picked. */
int request_aim(struct request *r, const struct upstream *u) must_check;
/* Adds Cardea's own fields to an answer of the upstream. */
int request_response_fields(struct request *r, struct http_fields *f, unsigned status) must_check;

/* request_upstream.c */
void request_pick(struct request *r);
/* The request ends: nothing of the upstream is left. */
void request_leave_upstream(struct request *r);

/* request_account.c */
/* The route is known: what it is counted and written down as. */
void request_account_route(struct request *r);
/* Of a connection that is about to become a tunnel: everything that its line and its route's
 * counters need. NULL: out of memory, it is then written down with its head. */
struct request_tunnel *request_tunnel_create(struct request *r);
/* It did not become one. NULL is fine. */
void request_tunnel_free(struct request_tunnel *t);
/* For tunnel_options.on_end; arg is a struct request_tunnel, which goes. */
void request_tunnel_end(struct tunnel *t, const struct tunnel_end *end, void *arg);
/* It is over; why: of its exchange. */
void request_account(struct request *r, const struct err *why);
/* Answered without a struct request: a challenge, or by the session. */
void request_account_refused(struct proxy *p, struct exchange *x, unsigned status, size_t bytes);

/* request_answer.c */
/* Counts and answers as request_answer_message does, for failures on the way to the upstream. */
void request_fail(struct request *r, unsigned status, const char *message);

#endif
