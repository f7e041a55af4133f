/* A listening socket. owner: its creator, thread: its loop. */
#ifndef CARDEA_NET_LISTENER_H
#define CARDEA_NET_LISTENER_H

#include "common/net/addr.h"
#include "common/net/conn.h"

struct listener;

struct listener_options {
	struct listen_entry entry;
	/* For each connection: fill in the options of conn_accept (events, arg, tls). Return -1 to
	 * refuse it. */
	int (*on_accept)(struct listener *l, struct conn_options *o, void *arg);
	/* The connection was made; conn is NULL and e set if it could not be. May be NULL. */
	void (*on_conn)(struct listener *l, struct conn *c, const struct err *e, void *arg);
	void *arg;
	/* A socket that is bound and listens already (sockets.h): taken over, also on failure. */
	bool inherited;
	int fd;
	unsigned max_connections; /* accepting pauses above it; 0: no limit. Count them with
				     listener_done. */
};

/* Binds and listens. Errors name the address (port taken, no permission). */
int listener_start(struct listener **out, struct loop *l, const struct listener_options *o,
		   struct err *e) must_check;
/* One accepted connection ended. Not after the listener was closed: its memory may be gone. */
void listener_done(struct listener *l);
/* The bound address (port filled in). */
const struct addr *listener_addr(const struct listener *l);
/* Its descriptor, for sockets_add. Thread: any, while it is not being closed. */
int listener_fd(const struct listener *l);
/* Stops accepting; frees itself later; closed (may be NULL) is called then. */
void listener_close(struct listener *l, void (*closed)(void *arg), void *arg);

#endif
