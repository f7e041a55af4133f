/* HTTP/1.1 requests over kept TLS 1.3 connections, by one thread over epoll.
 *
 *     httpload [-r RATE] ADDRESS PORT SECONDS CONNECTIONS NAME PATH
 * Without -r each connection sends its next request when the answer is there. With -r RATE requests
 * are due at even times (open loop) and go out on whichever connection is free; latency counts from
 * the time at which a request was due.
 *
 * Opens all connections, makes one request on each, prints "ready", waits for a line on its input,
 * and then begins; with 0 SECONDS it ends there (connections that only stay).
 * Prints: requests failures seconds p50_us p99_us megabytes
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "common/core/clock.h"
#include "common/core/str.h"

enum { EVENTS = 128, SAMPLES = 1 << 21, HEAD_MAX = 4096, WARM_S = 60 };

struct client {
	SSL *ssl;
	int fd;
	uint64_t since_ns; /* when the request was due */
	bool busy;
	bool head_done;
	uint64_t left; /* of the body */
	size_t have;   /* of head */
	char head[HEAD_MAX];
	struct client *next_free;
};

struct load {
	SSL_CTX *ctx;
	struct sockaddr_in to;
	const char *name;
	char request[1024];
	int request_len;
	int epoll, timer;
	uint64_t rate; /* 0: closed loop */
	bool running;
	struct client *clients, *free;
	size_t count;
	uint64_t start_ns, sent;
	uint64_t requests, failures, bytes;
	uint32_t *samples; /* microseconds, a ring */
};

static void fail(const char *what)
{
	perror(what);
	ERR_print_errors_fp(stderr);
	exit(1);
}

/* Blocking: this is not what is measured. */
static void client_connect(struct load *l, struct client *c)
{
	int on = 1;

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&l->to, sizeof(l->to)) < 0)
		fail("connect");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	c->ssl = SSL_new(l->ctx);
	if (!c->ssl || SSL_set_fd(c->ssl, c->fd) != 1 ||
	    SSL_set_tlsext_host_name(c->ssl, l->name) != 1 || SSL_connect(c->ssl) != 1)
		fail("handshake");
}

static void client_watch(struct load *l, struct client *c)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLET, .data.ptr = c};

	if (fcntl(c->fd, F_SETFL, O_NONBLOCK) < 0 ||
	    epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &ev) < 0)
		fail("epoll");
}

static void send_request(struct load *l, struct client *c, uint64_t due_ns)
{
	c->since_ns = due_ns;
	c->busy = true;
	c->head_done = false;
	c->have = 0;
	/* A small record on an empty socket buffer: never short. */
	if (SSL_write(c->ssl, l->request, l->request_len) != l->request_len)
		fail("request");
	l->sent++;
}

/* The length that the head says; false: not a good answer. */
static bool parse_head(struct client *c, size_t len)
{
	static const char field[] = "\r\ncontent-length:";
	char *at;

	c->head[len] = '\0';
	if (strncmp(c->head, "HTTP/1.1 ", 9) != 0 || (c->head[9] != '2' && c->head[9] != '4'))
		return false;
	at = strcasestr(c->head, field);
	if (!at)
		return false;
	c->left = strtoull(at + sizeof(field) - 1, NULL, 10);
	return true;
}

static void take(struct client *c, const char *bytes, size_t n)
{
	size_t room = HEAD_MAX - 1 - c->have;
	size_t part = n < room ? n : room;
	size_t before = c->have;
	char *end;
	size_t head;

	if (!c->head_done) {
		memcpy(c->head + c->have, bytes, part);
		c->have += part;
		end = memmem(c->head, c->have, "\r\n\r\n", 4);
		if (!end && c->have < HEAD_MAX - 1)
			return;
		head = end ? (size_t)(end - c->head) + 4 : 0;
		if (!end || !parse_head(c, head - 2))
			fail("answer");
		c->head_done = true;
		n -= head - before;
	}
	c->left -= n < c->left ? n : c->left;
}

static uint64_t due_at(const struct load *l, uint64_t i)
{
	return l->start_ns + (uint64_t)((double)i * 1e9 / (double)l->rate);
}

static void put_free(struct load *l, struct client *c)
{
	c->next_free = l->free;
	l->free = c;
}

/* Sends what is due and sets the timer for what comes next. */
static void send_due(struct load *l)
{
	uint64_t now = clock_mono_ns(), next;
	struct itimerspec at = {{0, 0}, {0, 0}};

	while (l->free && due_at(l, l->sent) <= now) {
		struct client *c = l->free;

		l->free = c->next_free;
		send_request(l, c, due_at(l, l->sent));
	}
	next = due_at(l, l->sent);
	at.it_value.tv_sec = (time_t)(next / 1000000000U);
	at.it_value.tv_nsec = (long)(next % 1000000000U);
	timerfd_settime(l->timer, TFD_TIMER_ABSTIME, &at, NULL);
}

static void answered(struct load *l, struct client *c)
{
	uint64_t now = clock_mono_ns();

	c->busy = false;
	l->samples[l->requests++ & (SAMPLES - 1)] = (uint32_t)((now - c->since_ns) / 1000U);
	if (!l->running)
		return;
	if (!l->rate) {
		send_request(l, c, now);
		return;
	}
	put_free(l, c);
	if (due_at(l, l->sent) <= now)
		send_due(l);
}

static void client_event(struct load *l, struct client *c)
{
	static char bytes[16384];
	int n;

	ERR_clear_error();
	while ((n = SSL_read(c->ssl, bytes, sizeof(bytes))) > 0) {
		l->bytes += (unsigned)n;
		take(c, bytes, (size_t)n);
		if (c->head_done && c->left == 0 && c->busy)
			answered(l, c);
	}
	if (SSL_get_error(c->ssl, n) != SSL_ERROR_WANT_READ)
		fail("connection lost");
}

static void wait_events(struct load *l)
{
	struct epoll_event events[EVENTS];
	uint64_t ticks;
	int n = epoll_wait(l->epoll, events, EVENTS, 100);

	for (int i = 0; i < n; i++) {
		if (events[i].data.ptr)
			client_event(l, events[i].data.ptr);
		else if (read(l->timer, &ticks, sizeof(ticks)) > 0 && l->running)
			send_due(l);
	}
}

static bool any_busy(const struct load *l)
{
	for (size_t i = 0; i < l->count; i++)
		if (l->clients[i].busy)
			return true;
	return false;
}

static void warm(struct load *l)
{
	uint64_t end = clock_mono_ns() + WARM_S * 1000000000ULL;

	for (size_t i = 0; i < l->count; i++) {
		struct client *c = &l->clients[i];

		client_connect(l, c);
		client_watch(l, c);
		send_request(l, c, clock_mono_ns());
	}
	while (any_busy(l) && clock_mono_ns() < end)
		wait_events(l);
	if (any_busy(l))
		fail("no answer");
}

static int compare(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void report(struct load *l, double seconds)
{
	size_t n = l->requests < SAMPLES ? l->requests : SAMPLES;

	qsort(l->samples, n, sizeof(*l->samples), compare);
	printf("%llu %llu %.3f %u %u %.1f\n", (unsigned long long)l->requests,
	       (unsigned long long)l->failures, seconds, n ? l->samples[n / 2] : 0,
	       n ? l->samples[n * 99 / 100] : 0, (double)l->bytes / 1e6);
}

static void run(struct load *l, uint64_t seconds)
{
	uint64_t end;

	l->requests = l->bytes = l->sent = 0;
	l->running = true;
	l->start_ns = clock_mono_ns();
	end = l->start_ns + seconds * 1000000000ULL;
	for (size_t i = 0; i < l->count; i++) {
		if (l->rate)
			put_free(l, &l->clients[i]);
		else
			send_request(l, &l->clients[i], clock_mono_ns());
	}
	if (l->rate)
		send_due(l);
	while (clock_mono_ns() < end)
		wait_events(l);
	report(l, (double)(clock_mono_ns() - l->start_ns) / 1e9);
}

static void make(struct load *l, const char *path)
{
	struct epoll_event ev = {.events = EPOLLIN};

	l->request_len = snprintf(l->request, sizeof(l->request),
				  "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: httpload\r\n"
				  "Accept: */*\r\n\r\n",
				  path, l->name);
	l->ctx = SSL_CTX_new(TLS_client_method());
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	l->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	l->samples = calloc(SAMPLES, sizeof(*l->samples));
	l->clients = calloc(l->count, sizeof(*l->clients));
	if (!l->ctx || l->epoll < 0 || l->timer < 0 || !l->samples || !l->clients ||
	    SSL_CTX_set_min_proto_version(l->ctx, TLS1_3_VERSION) != 1 ||
	    SSL_CTX_set1_groups_list(l->ctx, "X25519") != 1 ||
	    epoll_ctl(l->epoll, EPOLL_CTL_ADD, l->timer, &ev) < 0)
		exit(1);
	SSL_CTX_set_mode(l->ctx, SSL_MODE_RELEASE_BUFFERS);
}

int main(int argc, char **argv)
{
	struct load l = {.to = {.sin_family = AF_INET}};
	uint64_t port, seconds, connections;
	int option;
	bool bad = false;

	while ((option = getopt(argc, argv, "r:")) != -1)
		bad = bad || option != 'r' || str_u64(str_from(optarg), &l.rate) < 0;
	argv += optind;
	if (bad || argc - optind != 6 || str_u64(str_from(argv[1]), &port) < 0 ||
	    str_u64(str_from(argv[2]), &seconds) < 0 ||
	    str_u64(str_from(argv[3]), &connections) < 0 ||
	    inet_pton(AF_INET, argv[0], &l.to.sin_addr) != 1) {
		fputs("usage: httpload [-r RATE] ADDRESS PORT SECONDS CONNECTIONS NAME PATH\n",
		      stderr);
		return 2;
	}
	l.to.sin_port = htons((uint16_t)port);
	l.name = argv[4];
	l.count = connections;
	make(&l, argv[5]);
	warm(&l);
	puts("ready");
	fflush(stdout);
	(void)getchar();
	if (seconds > 0)
		run(&l, seconds);
	return 0;
}
