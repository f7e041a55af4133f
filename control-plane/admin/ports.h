/* The listeners of the admin API, each with an HTTP server of its own, so that one that is flooded
 * leaves the others alone. Certificates can be read again while they listen. owner: admin, thread:
 * the loop. */
#ifndef CARDEA_ADMIN_PORTS_H
#define CARDEA_ADMIN_PORTS_H

#include "common/http/session.h"
#include "common/net/listener.h"

enum { PORTS_MAX = 2 * LISTEN_ENTRIES_MAX };

struct ports;

/* What the listeners of one key have in common; literals. */
struct port_kind {
	const char *key;  /* "admin_listen": for errors */
	const char *what; /* "admin": for the log */
	const struct http_handler *handler;
	bool verify_clients; /* against client_ca_file, when there is one */
};

struct ports_conf {
	const char *cert_file, *key_file; /* of entries with ssl; NULL: there are none */
	const char *client_ca_file;	  /* NULL: clients are not asked for certificates */
	bool client_required;		  /* no handshake without one */
	unsigned max_connections;	  /* of each listener; 0: no limit */
	uint64_t body_max;
	struct str (*error_body)(unsigned status, struct str *content_type, void *arg);
	void (*on_rejected)(const char *reason, void *arg);
	void *arg; /* of the handlers and of these two */
};

struct port {
	struct ports *ports;
	const struct port_kind *kind;
	struct listener *listener;
	struct http_server server;
	bool http2;
	SSL_CTX *tls; /* NULL: plain */
};

/* All fields are private. */
struct ports {
	struct loop *loop;
	struct ports_conf conf;
	struct port items[PORTS_MAX];
	size_t count;
	unsigned closing_left; /* 0: open */
	void (*closed)(void *arg);
	void *closed_arg;
};

/* Nothing listens yet. c is copied, its strings are borrowed. */
void ports_init(struct ports *p, struct loop *l, const struct ports_conf *c);
/* Listens on all entries. Errors name the key and the address or file; what listens already is
 * closed by ports_close. */
int ports_open(struct ports *p, const struct listen_list *list, const struct port_kind *kind,
	       struct err *e) must_check;
/* Reads certificates, keys and client authorities again, for connections that come from now on. On
 * an error everything stays as it was. */
int ports_reload(struct ports *p, struct err *e) must_check;
/* Lets the connections of a kind finish, and takes no new ones. */
void ports_drain(struct ports *p, const struct port_kind *kind);
/* Closes all connections; closed comes later, then p may be freed. */
void ports_close(struct ports *p, void (*closed)(void *arg), void *arg);

#endif
