/* SL-07: which ClientHellos go on in a turn, and what those that offer a session are counted as. */
#include "data-plane/tls/hello_queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/lib/testcert.h"

static struct {
	struct hello_queue queue;
	struct testca ca;
	SSL_CTX *server, *client;
	SSL_SESSION *session; /* that the client got last */
} bed;

static int on_hello(SSL *ssl, int *alert, void *arg)
{
	(void)alert;
	(void)arg;
	return hello_queue_ask(&bed.queue, ssl) == HELLO_GO ? SSL_CLIENT_HELLO_SUCCESS
							    : SSL_CLIENT_HELLO_RETRY;
}

static int on_session(SSL *ssl, SSL_SESSION *session)
{
	(void)ssl;
	SSL_SESSION_free(bed.session);
	bed.session = session;
	return 1;
}

static int setup(void **state)
{
	(void)state;
	testca_init(&bed.ca, "ca");
	bed.server = testcert_server(&bed.ca, "DNS:a.example", NULL);
	bed.client = testcert_client(NULL, NULL);
	SSL_CTX_set_client_hello_cb(bed.server, on_hello, NULL);
	SSL_CTX_set_session_cache_mode(bed.client,
				       SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
	SSL_CTX_sess_set_new_cb(bed.client, on_session);
	assert_int_equal(hello_queue_init(&bed.queue, 2, 2, NULL), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	SSL_SESSION_free(bed.session);
	bed.session = NULL;
	SSL_CTX_free(bed.server);
	SSL_CTX_free(bed.client);
	testca_deinit(&bed.ca);
	return 0;
}

struct pair {
	SSL *client, *server;
};

static void move_bytes(SSL *from, SSL *to)
{
	char bytes[16384];
	int n;

	while ((n = BIO_read(SSL_get_wbio(from), bytes, sizeof(bytes))) > 0)
		assert_int_equal(BIO_write(SSL_get_rbio(to), bytes, n), n);
}

static SSL *make(SSL_CTX *ctx)
{
	SSL *ssl = SSL_new(ctx);

	assert_non_null(ssl);
	SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	return ssl;
}

/* The server has answered the ClientHello. */
static struct pair greet(bool offers)
{
	struct pair p = {make(bed.client), make(bed.server)};

	SSL_set_connect_state(p.client);
	SSL_set_accept_state(p.server);
	if (offers)
		assert_int_equal(SSL_set_session(p.client, bed.session), 1);
	(void)SSL_do_handshake(p.client);
	move_bytes(p.client, p.server);
	(void)SSL_do_handshake(p.server);
	return p;
}

static void finish(struct pair *p)
{
	char byte;

	for (int i = 0; i < 4; i++) {
		move_bytes(p->server, p->client);
		(void)SSL_do_handshake(p->client);
		move_bytes(p->client, p->server);
		(void)SSL_do_handshake(p->server);
	}
	assert_true(SSL_is_init_finished(p->server));
	move_bytes(p->server, p->client);
	(void)SSL_read(p->client, &byte, 1); /* takes the ticket */
	hello_queue_done(&bed.queue, p->server, SSL_session_reused(p->server));
}

static void hang_up(struct pair *p)
{
	SSL_set_shutdown(p->client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(p->client);
	SSL_free(p->server);
}

static void get_session(void)
{
	struct pair p = greet(false);

	finish(&p);
	hang_up(&p);
	assert_non_null(bed.session);
	hello_queue_turn(&bed.queue);
}

/* From now on the server takes no ticket of before. */
static void forget_tickets(void)
{
	unsigned char keys[128] = {1};
	long size = SSL_CTX_get_tlsext_ticket_keys(bed.server, NULL, 0);

	assert_true(size > 0 && (size_t)size <= sizeof(keys));
	assert_int_equal(SSL_CTX_set_tlsext_ticket_keys(bed.server, keys, size), 1);
}

static void test_at_once(void **state)
{
	struct pair p[3];

	(void)state;
	for (size_t i = 0; i < 3; i++)
		p[i] = greet(false);
	assert_int_equal(bed.queue.begun, 2);
	assert_int_equal(bed.queue.waiting, 1);
	for (size_t i = 0; i < 3; i++)
		hang_up(&p[i]);
	assert_int_equal(bed.queue.waiting, 0);
}

static void test_a_session_that_is_taken_is_free(void **state)
{
	struct pair p;

	(void)state;
	get_session();
	p = greet(true);
	finish(&p);
	assert_true(SSL_session_reused(p.server));
	hang_up(&p);
	assert_int_equal(bed.queue.begun, 0);
}

static void test_a_session_that_is_not_taken_counts(void **state)
{
	struct pair p;

	(void)state;
	get_session();
	forget_tickets();
	p = greet(true);
	finish(&p);
	hang_up(&p);
	assert_int_equal(bed.queue.begun, 1);
}

/* The server has signed: that the client leaves then does not make it cheaper. */
static void test_a_client_that_leaves_counts(void **state)
{
	struct pair p;

	(void)state;
	get_session();
	forget_tickets();
	p = greet(true);
	assert_int_equal(bed.queue.begun, 0);
	hang_up(&p);
	assert_int_equal(bed.queue.begun, 1);
}

static void test_made_again(void **state)
{
	int before = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	struct hello_queue again;

	(void)state;
	assert_int_equal(hello_queue_init(&again, 1, 1, NULL), 0);
	assert_int_equal(SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL), before + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_at_once),
		T(test_a_session_that_is_taken_is_free),
		T(test_a_session_that_is_not_taken_counts),
		T(test_a_client_that_leaves_counts),
		T(test_made_again),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
