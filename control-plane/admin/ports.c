#include "control-plane/admin/ports.h"

#include "common/core/log.h"
#include "common/net/tls.h"

void ports_init(struct ports *p, struct loop *l, const struct ports_conf *c)
{
	*p = (struct ports){.loop = l, .conf = *c};
}

static int on_accept(struct listener *l, struct conn_options *o, void *arg)
{
	struct port *port = arg;

	(void)l;
	if (port->ports->closing_left > 0 || http_server_accept(&port->server, o, NULL) < 0)
		return -1;
	o->tls = port->tls;
	return 0;
}

static int load_tls(const struct port *port, SSL_CTX **out, struct err *e)
{
	const struct ports_conf *c = &port->ports->conf;
	bool verify = port->kind->verify_clients && c->client_ca_file;
	const struct tls_options o = {
		.server = true,
		.cert_file = c->cert_file,
		.key_file = c->key_file,
		.http2 = port->http2,
		.verify_peer = verify,
		.verify_optional = !c->client_required,
		.ca_file = verify ? c->client_ca_file : NULL,
	};

	if (!o.cert_file || !o.key_file)
		return err_set(e, ERR_INVALID,
			       "an address with ssl needs admin_ssl_cert and admin_ssl_cert_key");
	return tls_context(out, &o, e);
}

static void setup_server(struct port *port)
{
	const struct ports_conf *c = &port->ports->conf;
	struct http_server *s = &port->server;

	http_server_init(s, port->kind->handler, c->arg);
	s->limits.body = c->body_max;
	s->max_connections = c->max_connections;
	s->server_header = "cardea/" CARDEA_VERSION;
	s->http2 = port->http2;
	s->manual_window = true;
	s->error_body = c->error_body;
	s->on_rejected = c->on_rejected;
}

static int open_port(struct ports *p, const struct listen_entry *entry,
		     const struct port_kind *kind, struct err *e)
{
	struct port *port = &p->items[p->count];
	struct listener_options o = {.entry = *entry, .on_accept = on_accept, .arg = port};
	char text[ADDR_TEXT_SIZE];

	*port = (struct port){.ports = p, .kind = kind, .http2 = entry->http2};
	if (entry->ssl && load_tls(port, &port->tls, e) < 0)
		return -1;
	setup_server(port);
	if (listener_start(&port->listener, p->loop, &o, e) < 0) {
		SSL_CTX_free(port->tls);
		return -1;
	}
	p->count++;
	addr_text(listener_addr(port->listener), text, sizeof(text));
	log_notice("listening", log_str("what", kind->what), log_str("address", text),
		   log_str("tls", entry->ssl ? "on" : "off"),
		   log_str("http2", entry->http2 ? "on" : "off"));
	return 0;
}

int ports_open(struct ports *p, const struct listen_list *list, const struct port_kind *kind,
	       struct err *e)
{
	for (size_t i = 0; i < list->count; i++) {
		if (p->count == PORTS_MAX)
			return err_set(e, ERR_LIMIT, "more than %d listeners", PORTS_MAX);
		if (open_port(p, &list->entries[i], kind, e) < 0)
			return err_prefix(e, "%s", kind->key);
	}
	return 0;
}

int ports_reload(struct ports *p, struct err *e)
{
	SSL_CTX *fresh[PORTS_MAX] = {NULL};
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < p->count; i++)
		if (p->items[i].tls && load_tls(&p->items[i], &fresh[i], e) < 0)
			rc = err_prefix(e, "%s", p->items[i].kind->key);
	for (size_t i = 0; i < p->count; i++) {
		SSL_CTX *old = rc == 0 && fresh[i] ? p->items[i].tls : fresh[i];

		if (rc == 0 && fresh[i])
			p->items[i].tls = fresh[i];
		SSL_CTX_free(old);
	}
	return rc;
}

void ports_drain(struct ports *p, const struct port_kind *kind)
{
	for (size_t i = 0; i < p->count; i++)
		if (p->items[i].kind == kind)
			http_server_drain(&p->items[i].server);
}

static void part_closed(void *arg)
{
	struct ports *p = arg;

	if (--p->closing_left > 0)
		return;
	for (size_t i = 0; i < p->count; i++)
		SSL_CTX_free(p->items[i].tls);
	if (p->closed)
		p->closed(p->closed_arg);
}

void ports_close(struct ports *p, void (*closed)(void *arg), void *arg)
{
	p->closed = closed;
	p->closed_arg = arg;
	p->closing_left = (unsigned)p->count + 1;
	for (size_t i = 0; i < p->count; i++) {
		p->closing_left += http_server_close(&p->items[i].server, part_closed, p);
		listener_close(p->items[i].listener, part_closed, p);
	}
	part_closed(p);
}
