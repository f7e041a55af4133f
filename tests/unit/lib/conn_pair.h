/* Two connected conns on one loop, that write down what happens to them. */
#ifndef CARDEA_TESTS_CONN_PAIR_H
#define CARDEA_TESTS_CONN_PAIR_H

#include "common/net/conn.h"
#include "common/net/listener.h"
#include "tests/unit/lib/loop_fixture.h"
#include "tests/unit/lib/testcert.h"

/* What an end does inside its callbacks. */
enum end_callback { END_NOTHING, END_OPEN, END_DATA, END_DRAIN, END_EOF, END_WAKE };

struct end {
	struct conn *conn; /* NULL before it is made and after on_close */
	struct buf got;
	struct err why;
	unsigned opens, drains, wakes, eofs, closes;
	bool closed;
	bool bounded;			/* set: its queue is checked against the high mark */
	bool idle;			/* set: do not start reading in on_open */
	enum end_callback close_inside; /* set: conn_close inside this callback */
	bool stop_inside;		/* set: conn_read_stop inside on_data */
	const char *farewell;		/* set: written in on_eof */
	bool stays;			/* set: on_eof does not shut down */
};

struct pair_options {
	bool tls;
	bool client_cert_wanted; /* server asks for one */
	bool client_cert_shown;
	bool client_cert_foreign; /* of a CA that the server does not know */
	bool unknown_server;	  /* the client does not know the server's CA */
	const char *server_name;  /* NULL: "localhost" */
	const char *san;	  /* NULL: "DNS:localhost" */
	size_t write_high;
	size_t client_write_high; /* 0: as write_high */
	uint64_t handshake_ms;
	enum end_callback client_closes, server_closes;
	bool tls12;
};

struct pair {
	struct loop_fixture f;
	struct testca ca, other_ca;
	SSL_CTX *server_tls, *client_tls;
	struct listener *listener;
	struct conn_options server_options;
	struct end server, client;
	bool quiet; /* failures to make a connection do not fail the test */
};

/* Listener and contexts, no connection yet. */
void pair_init(struct pair *p, const struct pair_options *o);
/* Starts the client; both ends come to life as the loop runs. */
void pair_connect(struct pair *p, const struct pair_options *o);
/* init, connect, and waits until both are open. */
void pair_open(struct pair *p, const struct pair_options *o);
/* Closes what is left and checks that each end was closed exactly once if it ever lived. */
void pair_deinit(struct pair *p);

/* A plain socket connected to the pair's listener, not blocking. */
int raw_connect(struct pair *p);
void raw_send(int fd, struct str bytes);
/* Takes what is there; true when the peer has ended (FIN or reset). */
bool raw_read(int fd, struct buf *got);

extern const struct conn_events end_events;

#endif
