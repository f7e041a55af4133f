#include "data-plane/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/core/log.h"

extern char **environ;

enum { READY_FD = 3, FIRST_FD = 4 };
static const char variable[] = "CARDEA_HANDOVER";
static const char ready_word[] = "ready\n";

struct upgrade {
	uv_process_t process;
	uv_pipe_t pipe;
	struct timer timer;
	struct upgrade_conf conf;
	unsigned closing_left;
	bool made;    /* the handle of the process */
	bool running; /* the process */
	bool told;    /* a callback was called, or none is wanted */
	char word[sizeof(ready_word)];
};

/* --- the end --- */

static void one_closed(struct upgrade *u)
{
	if (--u->closing_left == 0)
		free(u);
}

static void on_process_closed(uv_handle_t *h)
{
	one_closed(container_of(h, struct upgrade, process));
}

static void on_pipe_closed(uv_handle_t *h)
{
	one_closed(container_of(h, struct upgrade, pipe));
}

static void on_timer_closed(struct timer *t)
{
	one_closed(container_of(t, struct upgrade, timer));
}

static void close_handles(struct upgrade *u)
{
	u->closing_left = u->made ? 3 : 2;
	timer_close(&u->timer, on_timer_closed);
	uv_close((uv_handle_t *)&u->pipe, on_pipe_closed);
	if (u->made)
		uv_close((uv_handle_t *)&u->process, on_process_closed);
}

void upgrade_close(struct upgrade *u)
{
	if (!u)
		return;
	if (u->running && !u->told)
		(void)uv_process_kill(&u->process, SIGKILL);
	u->told = true;
	close_handles(u);
}

static void failed(struct upgrade *u, const struct err *why)
{
	if (u->told)
		return;
	u->told = true;
	if (u->running)
		(void)uv_process_kill(&u->process, SIGKILL);
	u->conf.on_failed(why, u->conf.arg);
}

/* --- what the new process does --- */

static void on_exit_status(uv_process_t *p, int64_t status, int signum)
{
	struct upgrade *u = container_of(p, struct upgrade, process);
	struct err e = ERR_INIT;

	u->running = false;
	err_set(&e, ERR_UNAVAILABLE,
		signum ? "the new process was ended by signal %lld"
		       : "the new process ended: exit code %lld",
		(long long)(signum ? signum : status));
	failed(u, &e);
}

static void on_late(struct timer *t)
{
	struct upgrade *u = container_of(t, struct upgrade, timer);
	struct err e = ERR_INIT;

	err_set(&e, ERR_TIMEOUT, "the new process is not ready after %llu ms",
		(unsigned long long)u->conf.upgrade_ms);
	failed(u, &e);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *b)
{
	struct upgrade *u = container_of(h, struct upgrade, pipe);

	(void)suggested;
	*b = uv_buf_init(u->word, sizeof(u->word));
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
	struct upgrade *u = container_of(s, struct upgrade, pipe);

	(void)b;
	if (n < 0)
		uv_read_stop(s); /* its exit says more */
	if (n <= 0 || u->told || u->word[0] != ready_word[0])
		return;
	u->told = true;
	timer_stop(&u->timer);
	u->conf.on_ready(u->conf.arg);
}

/* --- starting it --- */

static size_t environment_size(void)
{
	size_t n = 0;

	while (environ && environ[n])
		n++;
	return n;
}

/* Everything of ours and the variable; the array is the caller's. */
static char **environment(char *assignment)
{
	size_t n = environment_size();
	char **out = calloc(n + 2, sizeof(*out));

	if (!out)
		return NULL;
	for (size_t i = 0; i < n; i++)
		out[i] = environ[i];
	out[n] = assignment;
	return out;
}

static uv_stdio_container_t *descriptors(struct upgrade *u, const struct sockets *s)
{
	uv_stdio_container_t *out = calloc(FIRST_FD + s->count, sizeof(*out));

	if (!out)
		return NULL;
	for (int i = 0; i < READY_FD; i++) {
		out[i].flags = UV_INHERIT_FD;
		out[i].data.fd = i;
	}
	out[READY_FD].flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE;
	out[READY_FD].data.stream = (uv_stream_t *)&u->pipe;
	for (size_t i = 0; i < s->count; i++) {
		out[FIRST_FD + i].flags = UV_INHERIT_FD;
		out[FIRST_FD + i].data.fd = s->items[i].fd;
	}
	return out;
}

static int spawn(struct upgrade *u, struct loop *l, const struct sockets *s, struct err *e)
{
	struct buf text = BUF_INIT;
	uv_process_options_t o = {
		.exit_cb = on_exit_status,
		.file = u->conf.argv[0],
		.args = u->conf.argv,
		.flags = UV_PROCESS_DETACHED,
		.stdio_count = FIRST_FD + (int)s->count,
	};
	int rc = -1;

	if (buf_addf(&text, e, "%s=", variable) == 0 && sockets_export(s, &text, e) == 0) {
		o.env = environment(text.data);
		o.stdio = descriptors(u, s);
		u->made = o.env && o.stdio; /* also when it then fails */
		rc = u->made ? uv_spawn(&l->uv, &u->process, &o) : UV_ENOMEM;
		if (rc < 0)
			err_errno(e, ERR_UNAVAILABLE, -rc, "starting %s", u->conf.argv[0]);
	}
	free(o.stdio);
	free(o.env);
	buf_deinit(&text);
	return rc < 0 ? -1 : 0;
}

int upgrade_start(struct upgrade **out, struct loop *l, const struct sockets *sockets,
		  const struct upgrade_conf *c, struct err *e)
{
	struct upgrade *u = calloc(1, sizeof(*u));

	if (!u)
		return err_memory(e, "an upgrade");
	u->conf = *c;
	timer_init(&u->timer, l, on_late);
	(void)uv_pipe_init(&l->uv, &u->pipe, 0); /* cannot fail on Unix */
	if (spawn(u, l, sockets, e) != 0) {
		u->told = true;
		close_handles(u);
		return -1;
	}
	u->running = true;
	(void)uv_read_start((uv_stream_t *)&u->pipe, on_alloc, on_read);
	timer_start(&u->timer, c->upgrade_ms, 0);
	uv_unref((uv_handle_t *)&u->process);
	uv_unref((uv_handle_t *)&u->pipe);
	*out = u;
	return 0;
}

/* --- the new process's side --- */

int handover_take(struct handover *h, struct err *e)
{
	const char *text = getenv(variable);
	int rc;

	*h = (struct handover){.ready = -1};
	sockets_init(&h->sockets);
	if (!text)
		return 0;
	rc = sockets_import(&h->sockets, str_from(text), FIRST_FD, e);
	unsetenv(variable);
	if (rc != 0)
		return err_prefix(e, "%s", variable);
	if (fcntl(READY_FD, F_SETFD, FD_CLOEXEC) != 0) {
		sockets_deinit(&h->sockets);
		return err_errno(e, ERR_INVALID, errno, "%s: descriptor %d", variable, READY_FD);
	}
	h->ready = READY_FD;
	return 0;
}

void handover_ready(struct handover *h)
{
	sockets_deinit(&h->sockets);
	if (h->ready < 0)
		return;
	if (write(h->ready, ready_word, sizeof(ready_word) - 1) < 0)
		log_warn("the process before this one is gone", log_i64("errno", errno));
	close(h->ready);
	h->ready = -1;
}
