/* Signals as callbacks on a loop: one uv_signal_t each, freed together when the last is closed. */
#include <signal.h>
#include <stdlib.h>

#include "common/net/loop.h"

static const int watched[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2};

struct signals {
	uv_signal_t handles[array_len(watched)];
	void (*on_signal)(int signum, void *arg);
	void *arg;
	unsigned closing_left;
};

static void on_uv_signal(uv_signal_t *h, int signum)
{
	struct signals *s = h->data;

	if (s->on_signal)
		s->on_signal(signum, s->arg);
}

int signals_start(struct signals **out, struct loop *l, void (*on_signal)(int signum, void *arg),
		  void *arg, struct err *e)
{
	struct signals *s = calloc(1, sizeof(*s));
	int rc = 0;

	if (!s)
		return err_memory(e, "signal handles");
	s->on_signal = on_signal;
	s->arg = arg;
	for (size_t i = 0; i < array_len(watched); i++) {
		int init = uv_signal_init(&l->uv, &s->handles[i]);

		if (init < 0) {
			rc = init;
			break;
		}
		s->closing_left++;
		s->handles[i].data = s;
		uv_unref((uv_handle_t *)&s->handles[i]);
		rc = uv_signal_start(&s->handles[i], on_uv_signal, watched[i]);
		if (rc < 0)
			break;
	}
	if (rc == 0) {
		*out = s;
		return 0;
	}
	signals_close(s);
	return err_errno(e, ERR_UNAVAILABLE, -rc, "watching signals");
}

static void on_closed(uv_handle_t *h)
{
	struct signals *s = h->data;

	if (--s->closing_left == 0)
		free(s);
}

void signals_close(struct signals *s)
{
	unsigned n;

	if (!s)
		return;
	s->on_signal = NULL;
	n = s->closing_left;
	if (n == 0)
		free(s);
	for (unsigned i = 0; i < n; i++)
		uv_close((uv_handle_t *)&s->handles[i], on_closed);
}
