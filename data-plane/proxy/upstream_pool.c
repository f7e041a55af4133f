/* Connections to upstreams: one group per endpoint, used again last in, first out.
 *
 * Happy path: attach takes an idle connection, or dials; on_open -> protocol -> calls; detach makes
 * it idle; idle for too long, or more than max_idle: closed; on_close -> freed.
 * Failure paths: a connection that cannot be made or breaks ends its calls from on_close; bytes or
 * an end on an idle one close it (UP-03). */
#include <stdlib.h>

#include "data-plane/proxy/upstream_internal.h"

#define TO_CLOSING SM_TO(UPSTREAM_CLOSING)

static const struct sm_state conn_states[UPSTREAM_CONN_STATES] = {
	[UPSTREAM_CONNECTING] = {"connecting", SM_TO(UPSTREAM_BUSY) | TO_CLOSING},
	[UPSTREAM_BUSY] = {"busy", SM_TO(UPSTREAM_IDLE) | TO_CLOSING},
	[UPSTREAM_IDLE] = {"idle", SM_TO(UPSTREAM_BUSY) | TO_CLOSING},
	[UPSTREAM_CLOSING] = {"closing", 0},
};
static const struct sm conn_sm = {"upstream_conn", conn_states, UPSTREAM_CONN_STATES};

void upstream_conn_move(struct upstream_conn *u, enum upstream_conn_state to)
{
	struct upstream_group *g = u->group;

	g->idle_count -= u->state == UPSTREAM_IDLE;
	g->busy_count -= u->state == UPSTREAM_BUSY;
	g->connecting_count -= u->state == UPSTREAM_CONNECTING;
	u->state = (enum upstream_conn_state)sm_move(&conn_sm, u->state, to, NULL);
	g->idle_count += to == UPSTREAM_IDLE;
	g->busy_count += to == UPSTREAM_BUSY;
	list_remove(&u->link);
	if (to == UPSTREAM_IDLE)
		list_push_front(&g->idle, &u->link);
	else
		list_push(&g->busy, &u->link);
}

/* --- groups --- */

static size_t add_bytes(char *out, size_t at, const void *bytes, size_t n)
{
	memcpy(out + at, bytes, n);
	return at + n;
}

/* What makes two endpoints equal. */
static size_t make_key(const struct endpoint *e, char out[UPSTREAM_KEY_SIZE])
{
	const struct sockaddr_in6 *in6 = &e->addr.u.in6;
	const struct sockaddr_in *in4 = &e->addr.u.in4;
	char protocol = (char)e->protocol;
	size_t n = add_bytes(out, 0, &protocol, sizeof(protocol));

	n = add_bytes(out, n, (const void *)&e->tls, sizeof(e->tls));
	if (e->addr.u.sa.sa_family == AF_INET6) {
		n = add_bytes(out, n, &in6->sin6_port, sizeof(in6->sin6_port));
		n = add_bytes(out, n, &in6->sin6_scope_id, sizeof(in6->sin6_scope_id));
		return add_bytes(out, n, &in6->sin6_addr, sizeof(in6->sin6_addr));
	}
	n = add_bytes(out, n, &in4->sin_port, sizeof(in4->sin_port));
	return add_bytes(out, n, &in4->sin_addr, sizeof(in4->sin_addr));
}

static struct upstream_group *group_make(struct upstream_pool *p, const struct endpoint *endpoint,
					 struct str key, struct err *e)
{
	struct upstream_group *g = calloc(1, sizeof(*g));

	if (!g) {
		err_memory(e, "connections of an upstream");
		return NULL;
	}
	g->pool = p;
	list_init(&g->idle);
	list_init(&g->busy);
	memcpy(g->key, key.ptr, key.len);
	g->key_len = key.len;
	if (map_put(&p->groups, key, g, NULL, e) != 0) {
		free(g);
		return NULL;
	}
	g->endpoint = *endpoint;
	g->endpoint.proxy_header = STR_NONE;
	g->endpoint.tls = endpoint->tls ? origin_tls_ref(endpoint->tls) : NULL;
	return g;
}

static void pool_delete(struct upstream_pool *p)
{
	map_deinit(&p->groups);
	list_for_each_safe(it, &p->spares)
	{
		list_remove(it);
		free(container_of(it, struct upstream_call, link));
	}
	buf_deinit(&p->scratch);
	h2_mem_deinit(&p->h2_mem);
	free(p);
}

/* A group without connections goes; with the last of a freed pool the pool goes too. */
static void group_release(struct upstream_group *g)
{
	struct upstream_pool *p = g->pool;

	if (!list_empty(&g->idle) || !list_empty(&g->busy))
		return;
	map_remove(&p->groups, (struct str){g->key, g->key_len});
	if (g->endpoint.tls)
		origin_tls_unref(&g->endpoint.tls);
	free(g);
	if (p->freed && p->groups.count == 0)
		pool_delete(p);
}

/* --- unused ones --- */

static bool may_stay(const struct upstream_conn *u)
{
	unsigned max = u->pool->options.max_requests;

	return u->keep && !u->private && !u->pool->freed && u->pool->options.max_idle > 0 &&
	       (!max || u->served < max);
}

static void make_idle(struct upstream_conn *u)
{
	struct upstream_group *g = u->group;

	upstream_conn_move(u, UPSTREAM_IDLE);
	conn_idle_timeout(u->conn, u->pool->options.idle_ms);
	if (g->idle_count > u->pool->options.max_idle)
		upstream_conn_close(container_of(list_last(&g->idle), struct upstream_conn, link),
				    UPSTREAM_OK, NULL);
}

/* No call is on it. */
static void settle(struct upstream_conn *u)
{
	if (u->state == UPSTREAM_BUSY && may_stay(u))
		make_idle(u);
	else
		upstream_conn_close(u, UPSTREAM_OK, NULL);
}

/* --- a connection's events --- */

/* Takes u out; its connection is gone or somebody else's. */
static void conn_delete(struct upstream_conn *u)
{
	struct upstream_group *g = u->group;

	if (u->opened)
		u->protocol->deinit(u);
	list_remove(&u->link);
	free(u);
	group_release(g);
}

static void on_open(struct conn *c, void *arg)
{
	struct upstream_conn *u = arg;
	struct err e = ERR_INIT;

	upstream_conn_move(u, UPSTREAM_BUSY);
	origin_tls_opened(conn_ssl(c));
	if (u->protocol->open(u, &e) != 0) {
		upstream_conn_close(u, UPSTREAM_UNSAFE, &e);
		return;
	}
	u->opened = true;
	conn_read_start(c);
	/* Inside on_ready a call may leave, also for good. */
	while (u->state == UPSTREAM_BUSY) {
		struct upstream_call *next = NULL;

		list_for_each(it, &u->calls)
		{
			next = container_of(it, struct upstream_call, link);
			if (next->state == CALL_WAITING)
				break;
			next = NULL;
		}
		if (!next)
			break;
		upstream_call_ready(next);
	}
	/* Whoever it was made for has left before. */
	if (u->state == UPSTREAM_BUSY && u->call_count == 0)
		settle(u);
}

static void on_data(struct conn *c, struct str bytes, void *arg)
{
	struct upstream_conn *u = arg;

	(void)c;
	u->protocol->input(u, bytes);
	if (!u->conn) /* taken */
		conn_delete(u);
}

static void on_drain(struct conn *c, void *arg)
{
	struct upstream_conn *u = arg;

	(void)c;
	u->protocol->drain(u);
}

static void on_eof(struct conn *c, void *arg)
{
	struct upstream_conn *u = arg;
	struct err e = ERR_INIT;

	(void)c;
	u->protocol->eof(u);
	err_set(&e, ERR_UNAVAILABLE, "the upstream closed the connection");
	upstream_conn_close(u, UPSTREAM_RESET, &e);
}

static enum upstream_failure failure_of(const struct upstream_conn *u, const struct err *why)
{
	if (u->end.failure != UPSTREAM_OK)
		return u->end.failure;
	if (why->kind == ERR_MEMORY)
		return UPSTREAM_MEMORY;
	if (u->state != UPSTREAM_CONNECTING)
		return why->kind == ERR_TIMEOUT ? UPSTREAM_TIMEOUT : UPSTREAM_RESET;
	if (why->kind == ERR_TIMEOUT)
		return UPSTREAM_CONNECT_TIMEOUT;
	/* What the handshake refuses; a connection that ends in it is UPSTREAM_REFUSED. */
	return u->group->endpoint.tls && why->kind == ERR_DENIED ? UPSTREAM_TLS : UPSTREAM_REFUSED;
}

static void on_close(struct conn *c, const struct err *why, void *arg)
{
	struct upstream_conn *u = arg;
	enum upstream_failure failure = failure_of(u, why);
	struct err reason = u->end.why.kind == ERR_NONE ? *why : u->end.why;
	struct link *it;

	(void)c;
	if (reason.kind == ERR_NONE)
		err_set(&reason, ERR_UNAVAILABLE, "the upstream closed the connection");
	if (u->state != UPSTREAM_CLOSING)
		upstream_conn_move(u, UPSTREAM_CLOSING);
	u->conn = NULL;
	while ((it = list_first(&u->calls)) != NULL)
		upstream_call_end(container_of(it, struct upstream_call, link), failure, &reason,
				  NULL);
	conn_delete(u);
}

static const struct conn_events conn_events = {
	.on_open = on_open,
	.on_data = on_data,
	.on_drain = on_drain,
	.on_eof = on_eof,
	.on_close = on_close,
};

void upstream_conn_close(struct upstream_conn *u, enum upstream_failure failure,
			 const struct err *why)
{
	if (u->state == UPSTREAM_CLOSING)
		return;
	u->end.failure = failure;
	if (why)
		u->end.why = *why;
	upstream_conn_move(u, UPSTREAM_CLOSING);
	conn_close(u->conn);
}

struct conn *upstream_conn_give(struct upstream_conn *u)
{
	struct conn *c = u->conn;

	upstream_conn_move(u, UPSTREAM_CLOSING);
	conn_idle_timeout(c, 0);
	conn_stall_timeout(c, 0);
	u->conn = NULL;
	return c;
}

/* --- attach and detach --- */

static struct upstream_conn *dial(struct upstream_group *g, const struct upstream_call_options *o,
				  struct err *e)
{
	const struct conn_options options = {
		.events = &conn_events,
		.tls = g->endpoint.tls ? g->endpoint.tls->ctx : NULL,
		.server_name = g->endpoint.tls ? g->endpoint.tls->name : NULL,
		.write_high = UPSTREAM_WRITE_HIGH,
		.handshake_timeout_ms = o->connect_ms,
		.preamble = o->endpoint.proxy_header,
		.duplex = true,
	};
	struct upstream_conn *u = calloc(1, sizeof(*u));
	char host[ADDR_TEXT_SIZE];
	struct conn_options with = options;

	if (!u) {
		err_memory(e, "a connection to an upstream");
		return NULL;
	}
	with.arg = u;
	addr_ip_text(&g->endpoint.addr, host, sizeof(host));
	if (conn_connect(&u->conn, g->pool->options.loop, host, addr_port(&g->endpoint.addr), &with,
			 e) != 0) {
		free(u);
		return NULL;
	}
	if (g->endpoint.tls)
		origin_tls_offer(g->endpoint.tls, conn_ssl(u->conn), &g->endpoint.addr);
	u->group = g;
	u->pool = g->pool;
	u->protocol = g->endpoint.protocol == ENDPOINT_HTTP2 ? &upstream_h2 : &upstream_h1;
	u->private = o->endpoint.proxy_header.len > 0;
	list_init(&u->calls);
	list_init(&u->link);
	list_push(&g->busy, &u->link);
	g->connecting_count++;
	return u;
}

/* A connection that several calls share and which takes one more. */
static struct upstream_conn *find_shared(struct upstream_group *g)
{
	list_for_each(it, &g->busy)
	{
		struct upstream_conn *u = container_of(it, struct upstream_conn, link);

		if (u->private || !u->protocol->shared)
			continue;
		if (u->state == UPSTREAM_CONNECTING && u->call_count < UPSTREAM_CALLS_DIALING)
			return u;
		if (u->state == UPSTREAM_BUSY && u->protocol->has_room(u))
			return u;
	}
	return NULL;
}

static struct upstream_conn *find(struct upstream_group *g, const struct upstream_call_options *o)
{
	if (o->fresh || o->endpoint.proxy_header.len > 0)
		return NULL;
	if (g->endpoint.protocol == ENDPOINT_HTTP2) {
		struct upstream_conn *u = find_shared(g);

		if (u)
			return u;
	}
	list_for_each(it, &g->idle)
	{
		struct upstream_conn *u = container_of(it, struct upstream_conn, link);

		if (u->protocol->has_room(u))
			return u;
	}
	return NULL;
}

static bool is_full(const struct upstream_group *g)
{
	unsigned max = g->pool->options.max_connections;

	return max && g->busy_count + g->idle_count + g->connecting_count >= max;
}

static void put_on(struct upstream_conn *u, struct upstream_call *c)
{
	c->conn = u;
	list_push(&u->calls, &c->link);
	u->call_count++;
	c->end.reused = u->state != UPSTREAM_CONNECTING;
	u->served++;
	if (u->state == UPSTREAM_IDLE)
		upstream_conn_move(u, UPSTREAM_BUSY);
	if (u->state != UPSTREAM_CONNECTING) {
		conn_idle_timeout(u->conn, 0);
		upstream_call_move(c, CALL_READY);
		u->protocol->begin(c);
	}
}

int upstream_pool_attach(struct upstream_pool *p, struct upstream_call *c,
			 const struct upstream_call_options *o, enum upstream_failure *failure,
			 struct err *e)
{
	char bytes[UPSTREAM_KEY_SIZE];
	struct str key = {bytes, make_key(&o->endpoint, bytes)};
	struct upstream_group *g = map_get(&p->groups, key);
	struct upstream_conn *u;

	*failure = UPSTREAM_MEMORY;
	if (!g)
		g = group_make(p, &o->endpoint, key, e);
	if (!g)
		return -1;
	u = find(g, o);
	if (!u && is_full(g)) {
		*failure = UPSTREAM_FULL;
		return err_set(e, ERR_LIMIT, "%u connections are open to this upstream",
			       p->options.max_connections);
	}
	if (!u)
		u = dial(g, o, e);
	if (!u) {
		*failure = e->kind == ERR_MEMORY ? UPSTREAM_MEMORY : UPSTREAM_REFUSED;
		group_release(g);
		return -1;
	}
	put_on(u, c);
	return 0;
}

void upstream_pool_detach(struct upstream_call *c)
{
	struct upstream_conn *u = c->conn;

	if (!u)
		return;
	c->conn = NULL;
	list_remove(&c->link);
	u->call_count--;
	if (u->call_count > 0 || u->state == UPSTREAM_CLOSING)
		return;
	/* Others may come for one that is being made; a PROXY header lives as long as its call. */
	if (u->state != UPSTREAM_CONNECTING || !u->protocol->shared || u->private)
		settle(u);
}

/* --- the pool --- */

int upstream_pool_create(struct upstream_pool **out, const struct upstream_pool_options *o,
			 struct err *e)
{
	struct upstream_pool *p = calloc(1, sizeof(*p));

	if (!p)
		return err_memory(e, "connections to upstreams");
	p->options = *o;
	map_init(&p->groups);
	list_init(&p->spares);
	buf_init(&p->scratch, 0);
	*out = p;
	return 0;
}

static void close_list(struct link *conns)
{
	list_for_each_safe(it, conns) upstream_conn_close(
		container_of(it, struct upstream_conn, link), UPSTREAM_OK, NULL);
}

void upstream_pool_free(struct upstream_pool *p)
{
	size_t pos = 0;
	struct str key;
	void *value;

	if (!p)
		return;
	p->freed = true;
	while (map_next(&p->groups, &pos, &key, &value)) {
		struct upstream_group *g = value;

		close_list(&g->idle);
		close_list(&g->busy);
	}
	if (p->groups.count == 0)
		pool_delete(p);
}

void upstream_pool_facts(const struct upstream_pool *p, struct upstream_pool_facts *out)
{
	size_t pos = 0;
	struct str key;
	void *value;

	*out = (struct upstream_pool_facts){0};
	while (map_next(&p->groups, &pos, &key, &value)) {
		const struct upstream_group *g = value;

		out->idle += g->idle_count;
		out->busy += g->busy_count;
		out->connecting += g->connecting_count;
	}
}
