/* One client request on its way: route, plugins, an upstream, the response.
 *
 *     ROUTING ─▶ PLUGINS ─▶ (BUFFERING) ─▶ PICKING ⇄ CONNECTING ─▶ SENDING ─▶ ANSWERING ─▶ DONE
 *                  │            │             │  ▲        │            │
 *                  │            │             │  └─ retry ┴────────────┘ before a byte of the
 *                  └────────────┴─────────────┴─▶ ANSWERED: by Cardea    answer went out
 *
 * What plugins and the rest of the proxy may ask of a request and change in it. owner: its
 * exchange, thread: the worker. Strings that are handed in live until the request ends
 * (request_arena). */
#ifndef CARDEA_PROXY_REQUEST_H
#define CARDEA_PROXY_REQUEST_H

#include <openssl/x509.h>

#include "common/http/session.h"
#include "data-plane/proxy/client.h"
#include "data-plane/tables/consumer.h"
#include "data-plane/tables/route.h"
#include "data-plane/tables/service.h"
#include "data-plane/tables/tables.h"

struct request;
struct proxy; /* the worker's */

/* As the client sent it. */
const struct http_request *request_head(const struct request *r);
/* Lives as long as the request. */
struct arena *request_arena(struct request *r);
/* Who asks. */
const struct client *request_client(const struct request *r);
/* What the worker reads. */
const struct tables *request_tables(const struct request *r);
/* Taken when the request was routed; tables_enter was called in this turn. After a wait use
 * tables_enter again: pointers of before are gone. */
uint64_t request_generation(const struct request *r);
const struct route *request_route(const struct request *r);
/* NULL: the route has none. */
const struct service *request_service(const struct request *r);
/* 32 hex digits. */
struct str request_id(const struct request *r);
struct loop *request_loop(struct request *r);

/* The client's certificate, or NULL; and what came with it. Borrowed. */
X509 *request_certificate(const struct request *r);
STACK_OF(X509) * request_chain(const struct request *r);

/* What is sent upstream instead of what the client sent. A field that Cardea sets is removed from
 * the client's first (TR-04), in every spelling (TR-03). -1: out of memory. */
int request_set_field(struct request *r, struct str name, struct str value) must_check;
void request_remove_field(struct request *r, struct str name);
/* Fields of the response to the client. */
int request_set_response_field(struct request *r, struct str name, struct str value) must_check;

/* Copies what it needs; NULL: none. anonymous: it stands for nobody. */
int request_set_consumer(struct request *r, const struct consumer *c, bool anonymous) must_check;
/* id of the consumer or NULL. */
const unsigned char *request_consumer(const struct request *r);
bool request_is_anonymous(const struct request *r);

/* Answers for the upstream; body is copied; fields may be NULL. */
void request_answer(struct request *r, unsigned status, struct str content_type, struct str body,
		    const struct http_fields *fields);
/* {"message":"...","request_id":"..."} as Kong has it. */
void request_answer_message(struct request *r, unsigned status, struct str message);
/* From now on a body of more than limit bytes (at least 1) is not taken: it is answered with 413
 * and this message, or, when the answer has begun, the exchange is aborted. message lives for ever.
 * False: more came already. */
bool request_limit_body(struct request *r, uint64_t limit, const char *message) must_check;
/* For a plugin that returned PLUGIN_WAITING: goes on with the next plugin, or not at all when it
 * answered. */
void request_resume(struct request *r);
/* For a plugin that is about to return PLUGIN_WAITING: gone is called once when the request ends
 * before request_resume; r is no more then. NULL: not any more. */
void request_on_gone(struct request *r, void (*gone)(void *arg), void *arg);

#endif
