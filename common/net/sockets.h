/* Listening sockets on their way from one owner to the next: from old workers to new ones at a
 * reload, from a process to the one that takes its place at an upgrade. The kernel's queue stays
 * with the socket, so no client that waits in it is lost.
 *
 * An address may have several sockets (SO_REUSEPORT: one for each worker). owner and thread: its
 * creator.
 */
#ifndef CARDEA_NET_SOCKETS_H
#define CARDEA_NET_SOCKETS_H

#include "common/net/addr.h"

struct socket_entry {
	struct addr addr; /* as it was configured: the port may be 0 */
	int fd;
};

struct sockets {
	struct socket_entry *items; /* read */
	size_t count;		    /* read */
	size_t cap;		    /* private */
};

enum { SOCKETS_MAX = 4096 };

/* Empty. */
void sockets_init(struct sockets *s);
/* Closes what was not taken. */
void sockets_deinit(struct sockets *s);
/* Adds a duplicate of fd; fd stays the caller's. */
int sockets_add(struct sockets *s, const struct addr *addr, int fd, struct err *e) must_check;
/* A descriptor for the address, the caller's from now on; -1: none is left. */
int sockets_take(struct sockets *s, const struct addr *addr);

/* For another process: one word for each socket, its address, in order; the i-th has descriptor
 * first + i there. Appended to out. */
int sockets_export(const struct sockets *s, struct buf *out, struct err *e) must_check;
/* The other side. ERR_INVALID: not such a text, or a descriptor is no listening socket; *s is empty
 * then and nothing was closed. */
int sockets_import(struct sockets *s, struct str text, int first, struct err *e) must_check;

#endif
