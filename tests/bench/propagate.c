/* Propagation: writes certificates through the admin API, one after the other, and measures from
 * each answer until every data plane serves it.
 *
 *     propagate DIR N ADMIN_IP ADMIN_PORT TLS_PORT IP...
 * DIR/0.json, 1.json, ... are the request bodies, for names p0.bench.example.com, p1...; N is their
 * number. One thread per data plane tries handshakes with the name until one succeeds. Prints a
 * line of milliseconds per write.
 */
#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/core/clock.h"
#include "common/core/str.h"

enum { NODES_MAX = 16, BODY_MAX = 1 << 16, GIVE_UP_MS = 10000 };

struct bench {
	SSL_CTX *ctx;
	uint16_t tls_port;
	const char *nodes[NODES_MAX];
	size_t node_count;
};

struct probe {
	const struct bench *b;
	const char *ip;
	const char *name;
	uint64_t served_ns; /* 0: never */
};

static int dial(const char *ip, uint16_t port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || inet_pton(AF_INET, ip, &to.sin_addr) != 1 ||
	    connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
		perror(ip);
		exit(1);
	}
	return fd;
}

static bool handshake(const struct bench *b, const char *ip, const char *name)
{
	const struct linger reset = {1, 0};
	int fd = dial(ip, b->tls_port);
	SSL *ssl = SSL_new(b->ctx);
	bool ok;

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	SSL_set_fd(ssl, fd);
	ok = SSL_set_tlsext_host_name(ssl, name) == 1 && SSL_connect(ssl) == 1;
	SSL_free(ssl);
	close(fd);
	return ok;
}

static void *probe_run(void *arg)
{
	struct probe *p = arg;
	const struct timespec pause = {0, 500000};
	uint64_t end = clock_mono_ns() + GIVE_UP_MS * 1000000ULL;

	while (clock_mono_ns() < end) {
		if (handshake(p->b, p->ip, p->name)) {
			p->served_ns = clock_mono_ns();
			break;
		}
		/* Asking without a pause would take the CPU from those who are waited for. */
		nanosleep(&pause, NULL);
	}
	return NULL;
}

static size_t read_file(const char *dir, size_t i, char *out)
{
	char path[4096];
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), "%s/%zu.json", dir, i);
	f = fopen(path, "r");
	if (!f) {
		perror(path);
		exit(1);
	}
	n = fread(out, 1, BODY_MAX, f);
	fclose(f);
	return n;
}

static void send_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t w = send(fd, p, n, MSG_NOSIGNAL);

		if (w <= 0) {
			perror("admin API");
			exit(1);
		}
		p += w;
		n -= (size_t)w;
	}
}

/* Reads one answer with a Content-Length; its status. */
static int read_answer(int fd)
{
	char text[BODY_MAX];
	size_t have = 0, need = 0;
	int status = 0;

	while (need == 0 || have < need) {
		ssize_t n = recv(fd, text + have, sizeof(text) - 1 - have, 0);
		char *end, *length;

		if (n <= 0)
			return -1;
		have += (size_t)n;
		text[have] = '\0';
		end = strstr(text, "\r\n\r\n");
		length = strcasestr(text, "\r\ncontent-length:");
		if (!end || !length || need)
			continue;
		status = (int)strtol(text + strlen("HTTP/1.1 "), NULL, 10);
		need = (size_t)(end + 4 - text) + strtoul(length + 17, NULL, 10);
	}
	return status;
}

static void write_one(int admin, const char *dir, size_t i)
{
	static char body[BODY_MAX];
	char head[256];
	size_t n = read_file(dir, i, body);
	int status;

	snprintf(head, sizeof(head),
		 "POST /certificates HTTP/1.1\r\nHost: admin\r\nContent-Type: application/json\r\n"
		 "Content-Length: %zu\r\n\r\n",
		 n);
	send_all(admin, head, strlen(head));
	send_all(admin, body, n);
	status = read_answer(admin);
	if (status != 201) {
		fprintf(stderr, "write %zu was answered with %d\n", i, status);
		exit(1);
	}
}

static void measure(const struct bench *b, int *admin, const char *ip, uint16_t port,
		    const char *dir, size_t i)
{
	struct probe probes[NODES_MAX];
	pthread_t threads[NODES_MAX];
	uint64_t answered, last = 0;
	char name[64];

	/* The admin API ends a connection after its limit of requests. */
	if (i % 500 == 0) {
		if (*admin >= 0)
			close(*admin);
		*admin = dial(ip, port);
	}
	snprintf(name, sizeof(name), "p%zu.bench.example.com", i);
	write_one(*admin, dir, i);
	answered = clock_mono_ns();
	for (size_t k = 0; k < b->node_count; k++) {
		probes[k] = (struct probe){b, b->nodes[k], name, 0};
		if (pthread_create(&threads[k], NULL, probe_run, &probes[k]) != 0)
			exit(1);
	}
	for (size_t k = 0; k < b->node_count; k++) {
		pthread_join(threads[k], NULL);
		if (probes[k].served_ns == 0) {
			fprintf(stderr, "%s never served %s\n", probes[k].ip, name);
			exit(1);
		}
		if (probes[k].served_ns > last)
			last = probes[k].served_ns;
	}
	printf("%.3f\n", (double)(last - answered) / 1e6);
}

int main(int argc, char **argv)
{
	struct bench b = {.ctx = SSL_CTX_new(TLS_client_method())};
	uint64_t n, admin_port, tls_port;
	int admin = -1;

	if (argc < 7 || argc - 6 > NODES_MAX || !b.ctx || str_u64(str_from(argv[2]), &n) < 0 ||
	    str_u64(str_from(argv[4]), &admin_port) < 0 ||
	    str_u64(str_from(argv[5]), &tls_port) < 0) {
		fputs("usage: propagate DIR N ADMIN_IP ADMIN_PORT TLS_PORT IP...\n", stderr);
		return 2;
	}
	b.tls_port = (uint16_t)tls_port;
	for (int i = 6; i < argc; i++)
		b.nodes[b.node_count++] = argv[i];
	for (size_t i = 0; i < n; i++)
		measure(&b, &admin, argv[3], (uint16_t)admin_port, argv[1], i);
	return 0;
}
