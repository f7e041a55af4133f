/* A listening socket.
 *
 * Happy path: uv_listen reports a connection; on_accept fills in the options; conn_accept; on_conn.
 * Failure paths: on_accept refuses: the connection is taken off and closed; over max_connections:
 * it is left where it is, which makes libuv stop polling, until listener_done; out of memory: the
 * same, until a short pause is over; out of descriptors: libuv's reserve descriptor takes the
 * connection off and closes it.
 */
#include "common/net/listener.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { PAUSE_MS = 100 };

struct listener {
	uv_tcp_t tcp;
	struct loop *loop;
	struct listener_options options;
	struct addr addr;
	struct deferred resume; /* accepts what was left */
	struct timer pause;
	unsigned connections;
	unsigned closing_left;
	bool waiting; /* a connection was reported and not taken */
	int fd;
	void (*closed)(void *arg);
	void *closed_arg;
};

static void on_refused_closed(uv_handle_t *h)
{
	free(h);
}

static void pause_accepting(struct listener *l)
{
	l->waiting = true;
	timer_start(&l->pause, PAUSE_MS, 0);
}

static void refuse(struct listener *l)
{
	uv_tcp_t *tcp = malloc(sizeof(*tcp));

	if (!tcp || uv_tcp_init(&l->loop->uv, tcp) < 0) {
		free(tcp);
		pause_accepting(l);
		return;
	}
	(void)uv_accept((uv_stream_t *)&l->tcp, (uv_stream_t *)tcp);
	uv_close((uv_handle_t *)tcp, on_refused_closed);
}

static void report(struct listener *l, struct conn *c, const struct err *e)
{
	if (l->options.on_conn)
		l->options.on_conn(l, c, e, l->options.arg);
}

static void accept_one(struct listener *l)
{
	struct conn_options o = {0};
	struct err e = ERR_INIT;
	struct conn *c;

	if (l->options.on_accept(l, &o, l->options.arg) < 0) {
		refuse(l);
		return;
	}
	if (conn_accept(&c, l->loop, (uv_stream_t *)&l->tcp, &o, &e) < 0) {
		/* EAGAIN: after a pause nothing was left to take. */
		if (e.code != EAGAIN)
			pause_accepting(l);
		report(l, NULL, &e);
		return;
	}
	l->connections++;
	report(l, c, NULL);
}

static bool is_full(const struct listener *l)
{
	return l->options.max_connections && l->connections >= l->options.max_connections;
}

static void on_connection(uv_stream_t *stream, int status)
{
	struct listener *l = container_of(stream, struct listener, tcp);
	struct err e = ERR_INIT;
	char text[ADDR_TEXT_SIZE];

	if (status < 0) {
		addr_text(&l->addr, text, sizeof(text));
		err_errno(&e, ERR_UNAVAILABLE, -status, "accepting on %s", text);
		report(l, NULL, &e);
	} else if (is_full(l)) {
		l->waiting = true;
	} else {
		accept_one(l);
	}
}

static void resume(struct listener *l)
{
	if (!l->waiting || is_full(l) || uv_is_closing((uv_handle_t *)&l->tcp))
		return;
	l->waiting = false;
	accept_one(l);
}

static void on_resume(struct deferred *d)
{
	resume(container_of(d, struct listener, resume));
}

static void on_pause_over(struct timer *t)
{
	resume(container_of(t, struct listener, pause));
}

void listener_done(struct listener *l)
{
	assert(l->connections > 0);
	l->connections--;
	if (l->waiting)
		loop_defer(l->loop, &l->resume);
}

static int set_reuseport(uv_tcp_t *tcp)
{
	uv_os_fd_t fd;
	int on = 1;
	int rc = uv_fileno((const uv_handle_t *)tcp, &fd);

	if (rc < 0)
		return rc;
	return setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0 ? -errno : 0;
}

static int bind_and_listen(struct listener *l)
{
	const struct listen_entry *entry = &l->options.entry;
	bool v6 = entry->addr.u.sa.sa_family == AF_INET6;
	bool taken = l->options.inherited;
	int backlog = entry->backlog ? (int)entry->backlog : SOMAXCONN;
	int size = sizeof(l->addr.u);
	int rc = 0;

	if (l->options.inherited) {
		rc = uv_tcp_open(&l->tcp, l->options.fd);
		l->options.inherited = rc < 0; /* the handle closes it from now on */
	} else if (entry->reuseport) {
		rc = set_reuseport(&l->tcp);
	}
	/* IPv6 only, so that 0.0.0.0:80 and [::]:80 can stand side by side. */
	if (rc == 0 && !taken)
		rc = uv_tcp_bind(&l->tcp, &entry->addr.u.sa, v6 ? UV_TCP_IPV6ONLY : 0);
	if (rc == 0)
		rc = uv_listen((uv_stream_t *)&l->tcp, backlog, on_connection);
	if (rc == 0)
		rc = uv_tcp_getsockname(&l->tcp, &l->addr.u.sa, &size);
	if (rc == 0)
		rc = uv_fileno((const uv_handle_t *)&l->tcp, &l->fd);
	return rc;
}

static void one_closed(struct listener *l)
{
	if (--l->closing_left > 0)
		return;
	if (l->closed)
		l->closed(l->closed_arg);
	free(l);
}

static void on_closed(uv_handle_t *h)
{
	one_closed(container_of(h, struct listener, tcp));
}

static void on_pause_closed(struct timer *t)
{
	one_closed(container_of(t, struct listener, pause));
}

void listener_close(struct listener *l, void (*closed)(void *arg), void *arg)
{
	l->closed = closed;
	l->closed_arg = arg;
	deferred_cancel(&l->resume);
	l->closing_left = 2;
	timer_close(&l->pause, on_pause_closed);
	uv_close((uv_handle_t *)&l->tcp, on_closed);
}

static void drop_inherited(const struct listener_options *o)
{
	if (o->inherited)
		close(o->fd);
}

int listener_start(struct listener **out, struct loop *loop, const struct listener_options *o,
		   struct err *e)
{
	struct listener *l = calloc(1, sizeof(*l));
	char text[ADDR_TEXT_SIZE];
	int rc;

	if (!l) {
		drop_inherited(o);
		return err_memory(e, "a listener");
	}
	addr_text(&o->entry.addr, text, sizeof(text));
	rc = o->inherited ? uv_tcp_init(&loop->uv, &l->tcp)
			  : uv_tcp_init_ex(&loop->uv, &l->tcp, o->entry.addr.u.sa.sa_family);
	if (rc < 0) {
		drop_inherited(o);
		free(l);
		return err_errno(e, ERR_UNAVAILABLE, -rc, "cannot listen on %s", text);
	}
	l->loop = loop;
	l->options = *o;
	deferred_init(&l->resume, on_resume);
	timer_init(&l->pause, loop, on_pause_over);
	rc = bind_and_listen(l);
	if (rc < 0) {
		drop_inherited(&l->options);
		listener_close(l, NULL, NULL);
		return err_errno(e, rc == UV_EACCES ? ERR_DENIED : ERR_UNAVAILABLE, -rc,
				 "cannot listen on %s", text);
	}
	*out = l;
	return 0;
}

int listener_fd(const struct listener *l)
{
	return l->fd;
}

const struct addr *listener_addr(const struct listener *l)
{
	return &l->addr;
}
