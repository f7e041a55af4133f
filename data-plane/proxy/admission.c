#include "data-plane/proxy/admission.h"

#include "common/core/clock.h"
#include "common/core/log.h"

static void refuse(struct admission *a, struct conn *c, const char *reason)
{
	char text[ADDR_TEXT_SIZE];

	stats_rejected(a->stats, reason);
	addr_text(conn_peer(c), text, sizeof(text));
	log_info("connection refused", log_str("reason", reason), log_str("client", text));
	conn_close(c);
}

static void on_gone(struct conn *c, const struct err *why, void *arg)
{
	struct admission *a = arg;

	(void)why;
	client_limits_leave(a->limits, conn_peer(c));
}

/* The client is known. Proxies are not clients. */
static void enter(struct admission *a, struct conn *c)
{
	enum client_verdict v = CLIENT_FREE;

	if (a->limits && !ip_set_has(a->trusted, conn_peer(c)))
		v = client_limits_enter(a->limits, conn_peer(c), clock_mono_ns());
	conn_on_gone(c, v == CLIENT_COUNTED ? on_gone : NULL, a);
	if (v == CLIENT_TOO_MANY)
		refuse(a, c, "client_max_connections");
	else if (v == CLIENT_TOO_FAST)
		refuse(a, c, "client_connection_rate");
}

static void on_proxied(struct conn *c, void *arg)
{
	enter(arg, c);
}

/* It ended before its PROXY header was whole. */
static void on_headless(struct conn *c, const struct err *why, void *arg)
{
	struct admission *a = arg;
	char text[ADDR_TEXT_SIZE];

	stats_rejected(a->stats, "PP-02");
	addr_text(conn_tcp_peer(c), text, sizeof(text));
	log_info("connection refused", log_str("reason", "PP-02"), log_str("peer", text),
		 log_err(why));
}

int admission_accept(struct admission *a, struct conn_options *o, bool proxy_protocol)
{
	if (memory_guard_is_tight(a->memory)) {
		stats_rejected(a->stats, "memory_limit");
		return -1;
	}
	o->proxy_protocol = proxy_protocol;
	o->on_proxied = on_proxied;
	o->on_proxied_arg = a;
	return 0;
}

void admission_conn(struct admission *a, struct conn *c, bool proxy_protocol)
{
	if (!proxy_protocol)
		enter(a, c);
	else if (ip_set_has(a->trusted, conn_tcp_peer(c)))
		conn_on_gone(c, on_headless, a);
	else
		refuse(a, c, "PP-01");
}
