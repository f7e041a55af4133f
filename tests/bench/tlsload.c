/* Load of full TLS 1.3 handshakes (X25519), each with a server name of its own choice, by one
 * thread over epoll. A handshake counts when the first session ticket came, so that the server has
 * done all of its work; then the connection is reset, which leaves no TIME_WAIT behind.
 *
 *     tlsload ADDRESS PORT SECONDS CONNECTIONS NAME [COUNT]
 * NAME with COUNT: "h%zu.bench.example.com" with a random number below COUNT for each connection.
 * Prints: handshakes failures seconds p50_us p99_us
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/core/clock.h"
#include "common/core/str.h"

enum { EVENTS = 64, SAMPLES = 1 << 20 };

struct client {
	SSL *ssl;
	int fd;
	uint64_t started_ns;
	bool done;
};

struct load {
	SSL_CTX *ctx;
	struct sockaddr_in to;
	int epoll;
	const char *name;
	uint64_t count;
	uint64_t random;
	uint64_t handshakes, failures;
	uint32_t *samples; /* microseconds, a ring */
};

/* xorshift64: speed is all that matters here. */
static uint64_t next_random(struct load *l)
{
	l->random ^= l->random << 13;
	l->random ^= l->random >> 7;
	l->random ^= l->random << 17;
	return l->random;
}

static int on_ticket(SSL *ssl, SSL_SESSION *session)
{
	struct client *c = SSL_get_app_data(ssl);

	(void)session;
	c->done = true;
	return 0;
}

static void set_name(struct load *l, SSL *ssl)
{
	char name[128];
	uint64_t i = l->count ? next_random(l) % l->count : 0;
	const char *mark = strstr(l->name, "%zu");

	if (!mark)
		snprintf(name, sizeof(name), "%s", l->name);
	else
		snprintf(name, sizeof(name), "%.*s%llu%s", (int)(mark - l->name), l->name,
			 (unsigned long long)i, mark + 3);
	if (SSL_set_tlsext_host_name(ssl, name) != 1)
		abort();
}

static bool client_start(struct load *l, struct client *c)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
	const struct linger reset = {1, 0};

	c->done = false;
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return false;
	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	c->started_ns = clock_mono_ns();
	if (connect(c->fd, (struct sockaddr *)&l->to, sizeof(l->to)) < 0 && errno != EINPROGRESS)
		return false;
	c->ssl = SSL_new(l->ctx);
	SSL_set_fd(c->ssl, c->fd);
	SSL_set_app_data(c->ssl, c);
	SSL_set_connect_state(c->ssl);
	set_name(l, c->ssl);
	return epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &ev) == 0;
}

static void client_again(struct load *l, struct client *c)
{
	SSL_free(c->ssl);
	close(c->fd);
	if (!client_start(l, c)) {
		perror("tlsload");
		exit(1);
	}
}

static bool wants_more(SSL *ssl, int rc)
{
	int why = SSL_get_error(ssl, rc);

	return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE;
}

static void client_step(struct load *l, struct client *c)
{
	char byte;
	int rc = SSL_is_init_finished(c->ssl) ? 1 : SSL_do_handshake(c->ssl);

	if (rc == 1)
		rc = SSL_read(c->ssl, &byte, 1);
	if (c->done) {
		uint64_t us = (clock_mono_ns() - c->started_ns) / 1000U;

		l->samples[l->handshakes++ & (SAMPLES - 1)] = (uint32_t)us;
		client_again(l, c);
	} else if (rc <= 0 && !wants_more(c->ssl, rc)) {
		if (l->failures++ == 0) {
			perror("first failed handshake");
			ERR_print_errors_fp(stderr);
		}
		ERR_clear_error();
		client_again(l, c);
	}
}

static SSL_CTX *make_context(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	if (!ctx || SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
	    SSL_CTX_set1_groups_list(ctx, "X25519") != 1)
		exit(1);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, on_ticket);
	return ctx;
}

static int compare(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void report(struct load *l, double seconds)
{
	size_t n = l->handshakes < SAMPLES ? l->handshakes : SAMPLES;

	qsort(l->samples, n, sizeof(*l->samples), compare);
	printf("%llu %llu %.3f %u %u\n", (unsigned long long)l->handshakes,
	       (unsigned long long)l->failures, seconds, n ? l->samples[n / 2] : 0,
	       n ? l->samples[n * 99 / 100] : 0);
}

static void run(struct load *l, uint64_t seconds, size_t connections)
{
	struct client *clients = calloc(connections, sizeof(*clients));
	struct epoll_event events[EVENTS];
	uint64_t start = clock_mono_ns(), end = start + seconds * 1000000000ULL;

	for (size_t i = 0; clients && i < connections; i++)
		if (!client_start(l, &clients[i]))
			exit(1);
	while (clock_mono_ns() < end) {
		int n = epoll_wait(l->epoll, events, EVENTS, 100);

		for (int i = 0; i < n; i++)
			client_step(l, events[i].data.ptr);
	}
	report(l, (double)(clock_mono_ns() - start) / 1e9);
	free(clients);
}

int main(int argc, char **argv)
{
	/* Each run asks for other names. */
	struct load l = {.random = clock_mono_ns() | 1};
	uint64_t port, seconds, connections;

	if (argc < 6 || str_u64(str_from(argv[2]), &port) < 0 ||
	    str_u64(str_from(argv[3]), &seconds) < 0 ||
	    str_u64(str_from(argv[4]), &connections) < 0 ||
	    (argc > 6 && str_u64(str_from(argv[6]), &l.count) < 0)) {
		fputs("usage: tlsload ADDRESS PORT SECONDS CONNECTIONS NAME [COUNT]\n", stderr);
		return 2;
	}
	l.to.sin_family = AF_INET;
	l.to.sin_port = htons((uint16_t)port);
	if (inet_pton(AF_INET, argv[1], &l.to.sin_addr) != 1)
		return 2;
	l.name = argv[5];
	l.ctx = make_context();
	l.epoll = epoll_create1(EPOLL_CLOEXEC);
	l.samples = calloc(SAMPLES, sizeof(*l.samples));
	if (!l.samples || l.epoll < 0)
		exit(1);
	run(&l, seconds, connections);
	free(l.samples);
	return l.handshakes > 0 ? 0 : 1;
}
