/* Sessions of connections to upstreams: what a connection offers, and where what it gets is kept.
 *
 * Happy path: origin_tls_offer puts a ticket of the cache on the SSL; the handshake resumes;
 * origin_tls_opened; new tickets come, in TLS 1.3 later than that, and are kept.
 * Failure paths: the upstream does not take it: a full handshake, verified anew; no memory: nothing
 * is offered or kept; the cache of origins is gone: nothing is kept. */
#include <stdlib.h>

#include "common/core/clock.h"
#include "common/pki/cert.h"
#include "data-plane/tls/origin.h"

/* The mark of an SSL: what its sessions are kept under. Freed with the SSL. */
struct offer {
	struct origin_tls *origin;
	struct addr addr;
	int64_t until; /* of what was verified when the offered session was made */
	bool offered, opened;
};

static CRYPTO_ONCE mark_once = CRYPTO_ONCE_STATIC_INIT;
static int mark_index = -1;

static void on_ssl_free(void *parent, void *mark, CRYPTO_EX_DATA *data, int index, long number,
			void *arg)
{
	struct offer *o = mark;

	(void)parent;
	(void)data;
	(void)index;
	(void)number;
	(void)arg;
	if (!o)
		return;
	/* Perhaps it is what the handshake did not end for: the next one offers none. */
	if (o->offered && !o->opened && o->origin->sessions)
		tls_sessions_forget(o->origin->sessions, o->origin->key, &o->addr);
	origin_tls_unref(&o->origin);
	free(o);
}

static void make_mark(void)
{
	mark_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, on_ssl_free);
}

/* When the first certificate of the chain ends that was verified. */
static int64_t end_of_verified(SSL *ssl)
{
	STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl);
	int64_t until = INT64_MAX;

	for (int i = 0; i < sk_X509_num(chain); i++) {
		int64_t end;

		if (cert_time(X509_get0_notAfter(sk_X509_value(chain, i)), &end) != 0)
			return 0;
		if (end < until)
			until = end;
	}
	return until;
}

static int64_t until_of(const struct offer *o, SSL *ssl, int64_t now)
{
	int64_t limit = now + SESSIONS_MAX_SECONDS, verified;

	if (SSL_session_reused(ssl))
		return o->until;
	verified = o->origin->verify ? end_of_verified(ssl) : INT64_MAX;
	return verified < limit ? verified : limit;
}

static void tell(const struct offer *o, enum origin_event event)
{
	const struct origin_tls_options *options = o->origin->options;

	if (options && options->on_event)
		options->on_event(event, options->arg);
}

static int on_session(SSL *ssl, SSL_SESSION *session)
{
	struct offer *o = SSL_get_ex_data(ssl, mark_index);
	struct tls_sessions *s = o ? o->origin->sessions : NULL;
	int64_t now = clock_wall_s();
	uint64_t evicted;

	if (!s)
		return 0;
	evicted = s->evicted;
	tls_sessions_put(s, o->origin->key, &o->addr, session, now, until_of(o, ssl, now));
	if (s->evicted != evicted)
		tell(o, ORIGIN_EVICTED);
	return 0; /* it stays the connection's */
}

int origin_tls_resumable(SSL_CTX *ctx, struct err *e)
{
	if (CRYPTO_THREAD_run_once(&mark_once, make_mark) != 1 || mark_index < 0)
		return err_openssl(e, ERR_INTERNAL, "sessions with upstreams");
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, on_session);
	return 0;
}

void origin_tls_offer(struct origin_tls *t, SSL *ssl, const struct addr *addr)
{
	struct offer *o = t->sessions ? calloc(1, sizeof(*o)) : NULL;
	SSL_SESSION *session;

	if (!o)
		return;
	o->origin = origin_tls_ref(t);
	o->addr = *addr;
	if (SSL_set_ex_data(ssl, mark_index, o) != 1) {
		origin_tls_unref(&o->origin);
		free(o);
		return;
	}
	session = tls_sessions_take(t->sessions, t->key, addr, clock_wall_s(), &o->until);
	o->offered = session && SSL_set_session(ssl, session) == 1;
	SSL_SESSION_free(session);
}

void origin_tls_opened(SSL *ssl)
{
	struct offer *o = ssl ? SSL_get_ex_data(ssl, mark_index) : NULL;

	if (!o)
		return;
	o->opened = true;
	tell(o, SSL_session_reused(ssl) ? ORIGIN_RESUMED : ORIGIN_FULL);
}
