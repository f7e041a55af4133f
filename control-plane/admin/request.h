/* One request of the admin API while it is worked on, and the ways to answer it.
 *
 * A request outlives its exchange: when the client goes away during a database call, the callback
 * finds that out through admin_resume and stops. owner: itself, thread: the loop.
 */
#ifndef CARDEA_ADMIN_REQUEST_H
#define CARDEA_ADMIN_REQUEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/core/arena.h"
#include "common/http/session.h"
#include "control-plane/admin/admin.h"

enum { ADMIN_SEGMENTS_MAX = 8 };

struct admin_request;
typedef void (*admin_handler)(struct admin_request *r);

struct admin_request {
	struct admin_context *ctx;
	struct exchange *x; /* NULL: the client is gone */
	struct addr peer;
	char address[ADDR_TEXT_SIZE]; /* of the client, without port */
	struct identity who;
	bool open;		     /* of the status listener: nobody is asked who he is */
	bool admitted;		     /* private: goes on to its handler when its body is there */
	bool complete;		     /* private: the body is there */
	bool released;		     /* private: the body flows */
	size_t held;		     /* private: bytes that hold the window until then */
	const struct entity *entity; /* of the path: the last collection; NULL for special routes */
	const struct entity *parent; /* /{parent}/{key}/{entity}; or NULL */
	struct str segments[ADMIN_SEGMENTS_MAX]; /* decoded; without a leading "default" */
	size_t segment_count;
	struct str key; /* of entity: id or name; STR_NONE: the collection */
	struct str parent_key;
	const struct entity *child; /* /{child}/{key}/{reference}: entity is what it refers to */
	struct str child_key;
	const struct field *via; /* the reference */
	admin_handler handler;
	bool streams;	 /* the handler takes the body as it comes */
	struct buf body; /* secret: may hold private keys */
	bool form;	 /* input was a form: its values are text until coerced */
	json_t *input;	 /* decoded body: an object; owned */
	json_t *row;	 /* the entity under construction; owned */
	json_t *old;	 /* as it was read, with "version"; owned */
	json_t *linked;	 /* child's row, which the write makes refer to row; owned */
	json_t *rows;	 /* of a page; owned */
	/* The older surface (older.h): what the path or a field's name says, what marks an answer,
	 * and what turns one into the form of its time (takes body, gives a new one; NULL: none).
	 */
	bool older;
	bool deprecated;
	json_t *(*shape)(struct admin_request *r, unsigned *status, json_t *body);
	struct apis_bundle *api;    /* apis_bundle.h; owned */
	struct apis_list *api_list; /* apis_list.h; owned */
	/* The pair of an ssl plugin (plugin_certificate.h): as it is, as it will be, and the route
	 * that the plugin is for; owned */
	json_t *pair, *new_pair, *scope;
	admin_handler checked; /* what follows a check in several parts */
	/* What a special list looks up for its rows before it shows them, then next; NULL: nothing.
	 */
	void (*fill_page)(struct admin_request *r, admin_handler next);
	json_t *states; /* of the targets in rows (fleet_target_health); owned */
	/* What it adds to its page; NULL: nothing. */
	void (*finish_page)(struct admin_request *r, json_t *page);
	char parent_id[40]; /* resolved */
	unsigned tries;	    /* of a write that raced */
	/* What to do when the name in the path is held by somebody after all; NULL: refuse. */
	admin_handler again;
	unsigned page_size; /* rows of a list's page */
	unsigned attempts;  /* of the order when the client began to wait */
	uint64_t started_ns;
	unsigned pending; /* private: calls under way */
	/* private: an answer that waits for the fleet (`Prefer: wait`) */
	unsigned answer_status;
	uint64_t answer_revision;
	json_t *answer;
	struct barrier *barrier;
	struct timer *timer; /* of acme waits; owned, or NULL */
	uint64_t deadline_ns;
	char order_id[40];
};

/* NULL: out of memory. Frees itself after admin_request_gone. */
struct admin_request *admin_request_create(struct admin_context *ctx, struct exchange *x);
/* The exchange ended; frees the request as soon as no call is under way. */
void admin_request_gone(struct admin_request *r);

/* Before each asynchronous call, and first thing in its callback: false means that the request is
 * over (and now freed). */
void admin_suspend(struct admin_request *r);
bool admin_resume(struct admin_request *r) must_check;

/* Answers; body is taken over. Ends the exchange; the handler returns right after. */
void admin_reply(struct admin_request *r, unsigned status, json_t *body);
void admin_reply_empty(struct admin_request *r, unsigned status);
void admin_reply_message(struct admin_request *r, unsigned status, const char *fmt, ...)
	printf_like(3, 4);
/* A write's answer: with X-Cardea-Revision, and held back until the fleet acked it when the client
 * sent `Prefer: wait=N`. body may be NULL (204). */
void admin_reply_write(struct admin_request *r, unsigned status, json_t *body, uint64_t revision);
/* Text in another type, or nothing with extra fields (may be NULL). */
void admin_reply_text(struct admin_request *r, unsigned status, struct str type, struct str text,
		      struct http_fields *extra);

/* A query argument, decoded; STR_NONE when absent. */
struct str admin_query(struct admin_request *r, const char *name);
/* Seconds of `Prefer: wait=N` (RFC 7240 section 4.3), at most 300; 0 when there is none. */
uint64_t admin_prefer_wait(struct admin_request *r);
/* Whether `Prefer: respond-async` was sent. */
bool admin_prefer_async(struct admin_request *r);

#endif
