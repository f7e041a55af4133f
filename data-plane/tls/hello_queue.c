#include "data-plane/tls/hello_queue.h"

#include <stdlib.h>

#include "common/net/conn.h"

/* The mark of an SSL that waits or that offered a session. Freed with the SSL. */
struct hello {
	struct link link; /* hello_queue.items; empty: goes on */
	struct hello_queue *queue;
	SSL *ssl;
	bool offers; /* a session: did not wait, and was not counted */
};

static void leave(struct hello *h)
{
	if (list_empty(&h->link))
		return;
	list_remove(&h->link);
	h->queue->waiting--;
}

static void on_ssl_free(void *parent, void *mark, CRYPTO_EX_DATA *data, int index, long number,
			void *arg)
{
	struct hello *h = mark;

	(void)parent;
	(void)data;
	(void)index;
	(void)number;
	(void)arg;
	if (!h)
		return;
	/* It left, perhaps with what it was signed: that is no way to pay nothing. */
	if (h->offers)
		h->queue->begun++;
	leave(h);
	free(h);
}

/* One index for all queues: OpenSSL never gives one back, and queues come and go with reloads. */
static CRYPTO_ONCE mark_once = CRYPTO_ONCE_STATIC_INIT;
static int mark_index = -1;

static void make_mark(void)
{
	mark_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, on_ssl_free);
}

int hello_queue_init(struct hello_queue *q, unsigned at_once, unsigned waiting_max, struct err *e)
{
	*q = (struct hello_queue){.at_once = at_once, .waiting_max = waiting_max};
	list_init(&q->items);
	if (CRYPTO_THREAD_run_once(&mark_once, make_mark) != 1 || mark_index < 0)
		return err_openssl(e, ERR_INTERNAL, "making a queue of handshakes");
	return 0;
}

/* A ticket (TLS 1.2) or a pre-shared key (1.3). */
static bool offers_session(SSL *ssl)
{
	const unsigned char *bytes;
	size_t n;

	return SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_psk, &bytes, &n) == 1 ||
	       (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_session_ticket, &bytes, &n) == 1 &&
		n > 0);
}

static struct hello *mark(struct hello_queue *q, SSL *ssl)
{
	struct hello *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	list_init(&h->link);
	h->queue = q;
	h->ssl = ssl;
	if (SSL_set_ex_data(ssl, mark_index, h) == 1)
		return h;
	free(h);
	return NULL;
}

enum hello_verdict hello_queue_ask(struct hello_queue *q, SSL *ssl)
{
	struct hello *h = q->at_once ? SSL_get_ex_data(ssl, mark_index) : NULL;
	bool offers;

	if (!q->at_once)
		return HELLO_GO;
	if (h)
		return list_empty(&h->link) ? HELLO_GO : HELLO_WAIT;
	offers = offers_session(ssl);
	if (!offers && q->begun < q->at_once && q->waiting == 0) {
		q->begun++;
		return HELLO_GO;
	}
	if (!offers && q->waiting >= q->waiting_max)
		return HELLO_DROP;
	h = mark(q, ssl);
	if (!h)
		return HELLO_DROP;
	h->offers = offers;
	if (offers)
		return HELLO_GO;
	list_push(&q->items, &h->link);
	q->waiting++;
	q->waited++;
	return HELLO_WAIT;
}

void hello_queue_done(struct hello_queue *q, SSL *ssl, bool resumed)
{
	struct hello *h = q->at_once ? SSL_get_ex_data(ssl, mark_index) : NULL;

	if (!h)
		return;
	if (h->offers && !resumed)
		q->begun++;
	SSL_set_ex_data(ssl, mark_index, NULL);
	leave(h);
	free(h);
}

void hello_queue_turn(struct hello_queue *q)
{
	/* What was begun beyond the limit is paid for in this turn. */
	q->begun = q->begun > q->at_once ? q->begun - q->at_once : 0;
	while (q->waiting > 0 && q->begun < q->at_once) {
		struct hello *h = container_of(list_first(&q->items), struct hello, link);

		leave(h);
		q->begun++;
		conn_handshake_resume(conn_of_ssl(h->ssl));
	}
}
