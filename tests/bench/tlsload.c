/* Load of TLS handshakes, each with a server name of its own choice, by one thread over epoll.
 *
 *     tlsload [-2] [-r] [-g GROUPS] [-q PATH] ADDRESS PORT SECONDS CONNECTIONS NAME [COUNT]
 * -2: TLS 1.2, else TLS 1.3. -r: resumes the session of the first handshake. -q: asks for PATH,
 * reads the answer until the server closes. GROUPS: X25519 unless given (and P-256 with -2). NAME
 * with COUNT: "h%zu.bench.example.com" with a random number below COUNT for each connection.
 *
 * A handshake counts when the server has done all of its work: TLS 1.3: the first session ticket
 * came; TLS 1.2: close_notify was answered by the end of the connection; -q: likewise. Then the
 * connection is reset, which leaves no TIME_WAIT behind.
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

enum { EVENTS = 64, SAMPLES = 1 << 20, SETTLE_S = 10 };

struct client {
	SSL *ssl;
	int fd;
	uint64_t started_ns;
	bool ticket;   /* one came */
	bool said;     /* request or close_notify was sent */
	bool answered; /* bytes of an answer came */
};

struct load {
	SSL_CTX *ctx;
	SSL_SESSION *session; /* -r: of the first handshake */
	struct sockaddr_in to;
	int epoll;
	bool tls12, resume;
	const char *groups;
	const char *path; /* NULL: no request */
	const char *name;
	uint64_t count;
	uint64_t random;
	uint64_t handshakes, failures;
	uint32_t *samples; /* microseconds, a ring */
};

static struct load load;

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

	c->ticket = true;
	/* A copy: OpenSSL spoils a session whose connection ends without close_notify. */
	if (load.resume && !load.session)
		load.session = SSL_SESSION_dup(session);
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

/* A copy: a session is not used again once its connection got a newer ticket. */
static void resume(struct load *l, SSL *ssl)
{
	SSL_SESSION *session = SSL_SESSION_dup(l->session);

	if (!session || SSL_set_session(ssl, session) != 1)
		abort();
	SSL_SESSION_free(session);
}

static bool client_start(struct load *l, struct client *c)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
	const struct linger reset = {1, 0};

	*c = (struct client){.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
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
	if (l->session)
		resume(l, c->ssl);
	set_name(l, c->ssl);
	return epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &ev) == 0;
}

static void client_stop(struct client *c)
{
	SSL_free(c->ssl);
	close(c->fd);
}

static void client_again(struct load *l, struct client *c)
{
	client_stop(c);
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

/* What makes the server finish. */
static void say(struct load *l, struct client *c)
{
	char request[1024];
	int n;

	if (c->said)
		return;
	c->said = true;
	if (l->path) {
		n = snprintf(request, sizeof(request),
			     "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", l->path,
			     SSL_get_servername(c->ssl, TLSEXT_NAMETYPE_host_name));
		(void)SSL_write(c->ssl, request, n);
	} else if (l->tls12) {
		(void)SSL_shutdown(c->ssl);
	}
}

/* 1: this connection is done, 0: not yet, -1: failed. */
static int client_step(struct load *l, struct client *c)
{
	bool until_end = l->path || l->tls12;
	static char bytes[16384];
	int rc = 1;

	if (!SSL_is_init_finished(c->ssl))
		rc = SSL_do_handshake(c->ssl);
	if (rc != 1)
		return wants_more(c->ssl, rc) ? 0 : -1;
	if (l->session && !SSL_session_reused(c->ssl) && !c->said)
		return -1;
	say(l, c);
	while ((rc = SSL_read(c->ssl, bytes, sizeof(bytes))) > 0)
		c->answered = true;
	if (!until_end)
		return c->ticket ? 1 : wants_more(c->ssl, rc) ? 0 : -1;
	if (wants_more(c->ssl, rc))
		return 0;
	/* TLS 1.2 is closed by either: close_notify or the end of the connection. */
	return !l->path || (c->answered && SSL_get_error(c->ssl, rc) == SSL_ERROR_ZERO_RETURN) ? 1
											       : -1;
}

static void client_event(struct load *l, struct client *c)
{
	int rc;

	ERR_clear_error();
	rc = client_step(l, c);
	if (rc == 0)
		return;
	if (rc > 0) {
		uint64_t us = (clock_mono_ns() - c->started_ns) / 1000U;

		l->samples[l->handshakes++ & (SAMPLES - 1)] = (uint32_t)us;
	} else if (l->failures++ == 0) {
		perror("first failed handshake");
		ERR_print_errors_fp(stderr);
	}
	client_again(l, c);
}

static SSL_CTX *make_context(const struct load *l)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	int version = l->tls12 ? TLS1_2_VERSION : TLS1_3_VERSION;

	if (!ctx || SSL_CTX_set_min_proto_version(ctx, version) != 1 ||
	    SSL_CTX_set_max_proto_version(ctx, version) != 1 ||
	    SSL_CTX_set1_groups_list(ctx, l->groups) != 1)
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

static void wait_events(struct load *l)
{
	struct epoll_event events[EVENTS];
	int n = epoll_wait(l->epoll, events, EVENTS, 100);

	for (int i = 0; i < n; i++)
		client_event(l, events[i].data.ptr);
}

/* Gets the session that all others resume. */
static void settle(struct load *l)
{
	uint64_t end = clock_mono_ns() + SETTLE_S * 1000000000ULL;
	struct client first;

	if (!client_start(l, &first))
		exit(1);
	while (l->handshakes == 0 && clock_mono_ns() < end)
		wait_events(l);
	client_stop(&first);
	if (!l->session) {
		fputs("tlsload: the server gave no session\n", stderr);
		exit(1);
	}
	l->handshakes = l->failures = 0;
}

static void run(struct load *l, uint64_t seconds, size_t connections)
{
	struct client *clients = calloc(connections, sizeof(*clients));
	uint64_t start, end;

	if (l->resume)
		settle(l);
	start = clock_mono_ns();
	end = start + seconds * 1000000000ULL;
	for (size_t i = 0; clients && i < connections; i++)
		if (!client_start(l, &clients[i]))
			exit(1);
	while (clock_mono_ns() < end)
		wait_events(l);
	report(l, (double)(clock_mono_ns() - start) / 1e9);
	free(clients);
}

static bool take_option(struct load *l, int option)
{
	if (option == '2')
		l->tls12 = true;
	else if (option == 'r')
		l->resume = true;
	else if (option == 'g')
		l->groups = optarg;
	else if (option == 'q')
		l->path = optarg;
	else
		return false;
	return true;
}

static int usage(void)
{
	fputs("usage: tlsload [-2] [-r] [-g GROUPS] [-q PATH] ADDRESS PORT SECONDS CONNECTIONS "
	      "NAME [COUNT]\n",
	      stderr);
	return 2;
}

int main(int argc, char **argv)
{
	struct load *l = &load;
	uint64_t port, seconds, connections;
	int option;

	while ((option = getopt(argc, argv, "2rg:q:")) != -1)
		if (!take_option(l, option))
			return usage();
	argv += optind;
	argc -= optind;
	if (argc < 5 || str_u64(str_from(argv[1]), &port) < 0 ||
	    str_u64(str_from(argv[2]), &seconds) < 0 ||
	    str_u64(str_from(argv[3]), &connections) < 0 ||
	    (argc > 5 && str_u64(str_from(argv[5]), &l->count) < 0) ||
	    inet_pton(AF_INET, argv[0], &l->to.sin_addr) != 1)
		return usage();
	l->random = clock_mono_ns() | 1; /* each run asks for other names */
	l->to.sin_family = AF_INET;
	l->to.sin_port = htons((uint16_t)port);
	l->name = argv[4];
	/* TLS 1.2 asks for the curve of the certificate too. */
	if (!l->groups)
		l->groups = l->tls12 ? "X25519:P-256" : "X25519";
	l->ctx = make_context(l);
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	l->samples = calloc(SAMPLES, sizeof(*l->samples));
	if (!l->samples || l->epoll < 0)
		exit(1);
	run(l, seconds, connections);
	free(l->samples);
	return l->handshakes > 0 ? 0 : 1;
}
