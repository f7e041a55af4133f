/* The upstream side of a request: target, call, retries, and its answer on the way to the client.
 */
#include "common/core/clock.h"
#include "common/core/log.h"
#include "data-plane/proxy/request_internal.h"

static const struct upstream_call_events call_events;

/* --- answers for failures (UP-08) --- */

static const struct {
	unsigned status;
	const char *message;
} failures[UPSTREAM_FAILURES] = {
	[UPSTREAM_OK] = {502, "An invalid response was received from the upstream server"},
	[UPSTREAM_REFUSED] = {502, "An invalid response was received from the upstream server"},
	[UPSTREAM_CONNECT_TIMEOUT] = {504, "The upstream server is timing out"},
	[UPSTREAM_TLS] = {502, "An invalid response was received from the upstream server"},
	[UPSTREAM_RESET] = {502, "An invalid response was received from the upstream server"},
	[UPSTREAM_TIMEOUT] = {504, "The upstream server is timing out"},
	[UPSTREAM_UNSAFE] = {502, "An invalid response was received from the upstream server"},
	[UPSTREAM_NOT_TAKEN] = {502, "An invalid response was received from the upstream server"},
	[UPSTREAM_FULL] = {503, "The upstream server is currently unavailable"},
	[UPSTREAM_MEMORY] = {500, "An unexpected error occurred"},
};

/* --- targets --- */

static uint64_t elapsed_ms(const struct request *r)
{
	return (clock_mono_ns() - r->sent_ns) / 1000000;
}

static void pick_done(struct request *r, enum target_outcome o, unsigned status)
{
	if (!r->picked)
		return;
	r->picked = false;
	if (r->proxy->options.targets)
		targets_done(r->proxy->options.targets, &r->pick, o, status, elapsed_ms(r));
}

static void on_known(struct target_waiter *w)
{
	struct request *r = container_of(w, struct request, waiter);

	r->waits = false;
	if (!request_refresh(r))
		request_fail(r, 503, "no Service found with those values");
	else
		request_pick(r);
}

/* Without a resolver: services whose host is an address. */
static enum pick_result pick_numeric(struct request *r)
{
	const struct service *s = r->service;
	char host[INET6_ADDRSTRLEN];
	struct addr *a = &r->pick.addr;

	if (s->host.len >= sizeof(host))
		return PICK_UNRESOLVED;
	memcpy(host, s->host.ptr, s->host.len);
	host[s->host.len] = '\0';
	r->pick = (struct target_pick){.host = s->host, .port = s->port};
	if (inet_pton(AF_INET, host, &a->u.in4.sin_addr) == 1) {
		a->u.in4.sin_family = AF_INET;
		a->u.in4.sin_port = htons(s->port);
	} else if (inet_pton(AF_INET6, host, &a->u.in6.sin6_addr) == 1) {
		a->u.in6.sin6_family = AF_INET6;
		a->u.in6.sin6_port = htons(s->port);
	} else {
		return PICK_UNRESOLVED;
	}
	return PICK_OK;
}

static struct str captured(struct str name, void *arg)
{
	const struct request *r = arg;

	return route_capture_find(&r->captures, name);
}

static enum pick_result pick(struct request *r)
{
	const struct target_request q = {
		.generation = r->generation,
		.service = r->service,
		.request = r->head,
		.client = &r->client.address,
		.consumer = r->consumer_name,
		.capture = captured,
		.arg = r,
	};

	if (!r->proxy->options.targets)
		return pick_numeric(r);
	return targets_pick(r->proxy->options.targets, &q, r->tried, r->tried_count,
			    request_arena(r), &r->pick, &r->waiter);
}

static void call_start(struct request *r);

void request_pick(struct request *r)
{
	switch (pick(r)) {
	case PICK_OK:
		r->picked = true;
		call_start(r);
		return;
	case PICK_WAIT:
		r->waiter.on_known = on_known;
		r->waits = true;
		return;
	case PICK_UNRESOLVED:
		request_fail(r, 503, "name resolution failed");
		return;
	case PICK_UNHEALTHY:
	case PICK_DENIED:
		request_fail(r, 503, "failure to get a peer from the ring-balancer");
		return;
	case PICK_MEMORY:
		break;
	}
	request_fail(r, 500, "An unexpected error occurred");
}

/* --- the call --- */

static struct str budget_key(const struct request *r)
{
	return (struct str){(const char *)r->service_id, sizeof(r->service_id)};
}

/* PP-09. */
static int add_proxy_header(struct request *r, struct endpoint *out, struct err *e)
{
	char text[PROXY_WRITTEN_MAX];
	size_t n = proxy_header_write(text, r->proxy->options.edge->upstream_proxy,
				      &r->client.address, &r->client.local);

	out->proxy_header = arena_str(request_arena(r), (struct str){text, n});
	return out->proxy_header.ptr ? 0 : err_memory(e, "a PROXY header");
}

static int make_endpoint(struct request *r, const struct upstream *u, struct endpoint *out,
			 struct err *e)
{
	enum service_protocol protocol = r->service->protocol;
	bool http2 = protocol == SERVICE_GRPC || protocol == SERVICE_GRPCS;

	r->http2 = http2;
	*out = (struct endpoint){.addr = r->pick.addr,
				 .protocol = http2 ? ENDPOINT_HTTP2 : ENDPOINT_HTTP1};
	if (r->proxy->options.edge->upstream_proxy != PROXY_OFF && add_proxy_header(r, out, e) != 0)
		return -1;
	if (protocol != SERVICE_HTTPS && protocol != SERVICE_GRPCS)
		return 0;
	if (!r->proxy->options.origins)
		return err_set(e, ERR_UNAVAILABLE, "no TLS to upstreams");
	return origin_tls_get(&out->tls, r->proxy->options.origins, r->generation, r->service, u,
			      r->pick.host, http2, e);
}

static void send_head(struct request *r)
{
	bool te = exchange_te_trailers(r->exchange);

	r->connected_ns = clock_mono_ns();
	request_move(r, REQUEST_SENDING);
	upstream_call_send_head(r->call, &r->out, exchange_upgrade(r->exchange), te,
				!r->out.has_body);
	request_send_kept(r);
}

static void call_failed_to_start(struct request *r, const struct err *why)
{
	log_warn("upstream not asked", log_str("request", r->id), log_err(why));
	pick_done(r, TARGET_ABANDONED, 0);
	request_fail(r, 502, failures[UPSTREAM_TLS].message);
}

static void call_start(struct request *r)
{
	const struct tables *t = r->proxy->options.tables;
	const struct upstream *u =
		r->pick.has_upstream ? upstream_find(&t->entities, r->generation, r->pick.upstream)
				     : NULL;
	struct upstream_call_options o = {
		.connect_ms = r->connect_ms,
		.write_ms = r->write_ms,
		.read_ms = r->read_ms,
		.fresh = r->fresh,
		.arena = request_arena(r),
		.events = &call_events,
		.arg = r,
	};
	struct err e;
	int rc;

	err_clear(&e);
	request_move(r, REQUEST_CONNECTING);
	r->sent_ns = clock_mono_ns();
	if (r->tries++ == 0)
		budget_request(&r->proxy->budget, budget_key(r));
	if (make_endpoint(r, u, &o.endpoint, &e) != 0) {
		call_failed_to_start(r, &e);
		return;
	}
	rc = request_aim(r, u);
	if (rc == 0)
		rc = upstream_call_start(&r->call, r->proxy->pool, &o, &e);
	origin_tls_unref(&o.endpoint.tls);
	if (rc != 0)
		call_failed_to_start(r, &e);
	else if (upstream_call_is_ready(r->call))
		send_head(r);
}

void request_leave_upstream(struct request *r)
{
	upstream_call_close(r->call);
	r->call = NULL;
	if (r->waits)
		targets_forget(&r->waiter);
	r->waits = false;
	pick_done(r, TARGET_ABANDONED, 0);
}

/* --- its events --- */

static void on_ready(struct upstream_call *c, bool reused, void *arg)
{
	(void)c;
	(void)reused;
	send_head(arg);
}

static void on_interim(struct upstream_call *c, unsigned status, const struct http_fields *fields,
		       void *arg)
{
	struct request *r = arg;

	(void)c;
	if (status == 100)
		exchange_continue(r->exchange);
	else
		exchange_interim(r->exchange, status, fields);
}

static int make_answer(struct request *r, const struct http_response *response,
		       struct http_response *out)
{
	struct err e;

	err_clear(&e);
	r->answered_ns = clock_mono_ns();
	r->status = r->upstream_status = response->status;
	*out = *response;
	if (request_response_fields(r, &out->fields, response->status) == 0)
		return 0;
	err_memory(&e, "response fields");
	exchange_abort(r->exchange, &e);
	return -1;
}

static void on_orphan_close(struct conn *c, const struct err *why, void *arg)
{
	(void)c;
	(void)why;
	(void)arg;
}

/* A connection that nobody has any more. */
static void close_orphan(struct conn *c)
{
	static const struct conn_events events = {.on_close = on_orphan_close};

	conn_set_events(c, &events, NULL);
	conn_close(c);
}

/* Only now does the client's connection stop being HTTP (H1-33). */
static void on_switch(struct upstream_call *c, const struct http_response *response, void *arg)
{
	struct request *r = arg;
	struct tunnel_options o = {.idle_ms = r->proxy->options.tunnel_idle_ms};
	struct request_tunnel *later;
	struct str client_left = STR_NONE, upstream_left = STR_NONE;
	struct conn *client = NULL, *upstream;
	struct http_response out;
	struct tunnel *tunnel;
	struct err e = ERR_INIT;

	upstream = upstream_call_take(c, &upstream_left);
	r->call = NULL;
	pick_done(r, TARGET_SUCCESS, response->status);
	request_move(r, REQUEST_ANSWERING);
	if (make_answer(r, response, &out) == 0) {
		stats_request(r->proxy->options.stats, out.status);
		client = exchange_switch(r->exchange, &out, &client_left);
	}
	later = client ? request_tunnel_create(r) : NULL;
	o.on_end = later ? request_tunnel_end : NULL;
	o.arg = later;
	if (client &&
	    tunnel_start(&tunnel, client, client_left, upstream, upstream_left, &o, &e) == 0) {
		r->tunnelled = later != NULL;
		return;
	}
	request_tunnel_free(later);
	close_orphan(upstream);
	if (client)
		close_orphan(client);
}

/* An answer before the end of the request. Streams of gRPC may rest as tunnels may; others owe
 * their body. */
static void limit_silence(struct request *r)
{
	const struct proxy_options *o = &r->proxy->options;

	exchange_limit_silence(r->exchange, r->http2 ? o->tunnel_idle_ms : o->body_idle_ms);
}

static void on_head(struct upstream_call *c, const struct http_response *response, bool end,
		    void *arg)
{
	struct request *r = arg;
	struct http_response out;

	(void)c;
	pick_done(r, TARGET_SUCCESS, response->status);
	if (make_answer(r, response, &out) != 0)
		return;
	request_move(r, REQUEST_ANSWERING);
	request_drop_kept(r);
	stats_request(r->proxy->options.stats, out.status);
	if (!r->body_done)
		limit_silence(r);
	exchange_respond(r->exchange, &out, end);
}

/* The client is slow: whether the upstream is not kept waiting for it (response_buffering). */
static bool take_ahead(struct request *r, size_t n)
{
	if (!r->action.response_buffering || r->answer_ahead + n > r->proxy->options.answer_buffer)
		return false;
	r->answer_ahead += n;
	return true;
}

static void on_body(struct upstream_call *c, struct str bytes, void *arg)
{
	struct request *r = arg;

	r->bytes_out += bytes.len;
	if (exchange_write(r->exchange, bytes, false) || take_ahead(r, bytes.len))
		upstream_call_consumed(c, bytes.len);
	else
		r->answer_owed += bytes.len;
}

static void on_drain(struct upstream_call *c, void *arg)
{
	struct request *r = arg;

	(void)c;
	request_give_window(r);
}

/* --- ends and retries --- */

static bool is_idempotent(struct str method)
{
	static const struct str methods[] = {STR("GET"), STR("HEAD"), STR("PUT"), STR("OPTIONS"),
					     STR("DELETE")};

	for (size_t i = 0; i < array_len(methods); i++)
		if (str_eq(methods[i], method))
			return true;
	return false;
}

/* Whether sending it again can do no harm, and everything is there to be sent (UP-10). */
static bool is_repeatable(const struct request *r, const struct upstream_end *end)
{
	if (r->body_passed)
		return false;
	if (!end->sent || end->failure == UPSTREAM_NOT_TAKEN)
		return true;
	return !end->answered && is_idempotent(r->head->method);
}

static bool may_retry(struct request *r, const struct upstream_end *end)
{
	if (end->failure == UPSTREAM_UNSAFE || end->failure == UPSTREAM_FULL ||
	    end->failure == UPSTREAM_MEMORY || !is_repeatable(r, end) || !request_refresh(r))
		return false;
	/* An old connection that had ended: once, on a new one, free of charge (UP-09). */
	if (end->reused && !end->answered && end->failure == UPSTREAM_RESET && !r->renewed) {
		r->fresh = r->renewed = true;
		return true;
	}
	r->fresh = false;
	return r->tries <= r->retries + r->renewed &&
	       budget_retry(&r->proxy->budget, budget_key(r));
}

static void remember_tried(struct request *r)
{
	if (!r->tried)
		r->tried = arena_alloc(request_arena(r),
				       REQUEST_TRIED_MAX * sizeof(struct target_pick));
	if (r->tried && r->tried_count < REQUEST_TRIED_MAX && !r->fresh)
		r->tried[r->tried_count++] = r->pick;
}

static enum target_outcome outcome_of(enum upstream_failure f)
{
	if (f == UPSTREAM_TIMEOUT || f == UPSTREAM_CONNECT_TIMEOUT)
		return TARGET_TIMEOUT;
	if (f == UPSTREAM_FULL || f == UPSTREAM_MEMORY || f == UPSTREAM_NOT_TAKEN)
		return TARGET_ABANDONED;
	return TARGET_TCP_FAILURE;
}

static void call_failed(struct request *r, const struct upstream_end *end)
{
	char text[ADDR_TEXT_SIZE];

	addr_text(&r->pick.addr, text, sizeof(text));
	log_warn("upstream failed", log_str("request", r->id), log_str("upstream", text),
		 log_err(&end->why));
	if (r->state == REQUEST_ANSWERING) {
		exchange_abort(r->exchange, &end->why);
		return;
	}
	pick_done(r, outcome_of(end->failure), 0);
	if (!may_retry(r, end)) {
		request_fail(r, failures[end->failure].status, failures[end->failure].message);
		return;
	}
	remember_tried(r);
	r->kept_sent = 0;
	request_start(r);
}

static void answer_ended(struct request *r, const struct http_fields *trailers)
{
	if (trailers->count > 0)
		exchange_trailers(r->exchange, trailers);
	else
		exchange_write(r->exchange, STR(""), true);
}

static void on_end(struct upstream_call *c, const struct upstream_end *end,
		   const struct http_fields *trailers, void *arg)
{
	struct request *r = arg;

	(void)c;
	r->call = NULL;
	if (end->failure == UPSTREAM_OK)
		answer_ended(r, trailers);
	else
		call_failed(r, end);
	/* Nobody takes what may still come of the client's body. */
	request_give_window(r);
}

static const struct upstream_call_events call_events = {
	.on_ready = on_ready,
	.on_interim = on_interim,
	.on_switch = on_switch,
	.on_head = on_head,
	.on_body = on_body,
	.on_drain = on_drain,
	.on_end = on_end,
};
