/* Single writes: posts certificates through the admin API over many connections at once, each
 * waiting for its answer.
 *
 *     writes IMPORT_FILE FIRST N CONNECTIONS IP PORT
 * Bodies are lines FIRST to FIRST + N of a file as bench/certs makes it for POST /import. Prints
 * the seconds that it took.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/core/clock.h"
#include "common/core/str.h"

enum { BODY_MAX = 1 << 16, ANSWER_MAX = 1 << 16, PER_CONNECTION = 500, THREADS_MAX = 256 };

static const struct str line_head = {"{\"certificates\":", 16};

struct bench {
	char **bodies; /* without what makes them lines of an import */
	size_t count;
	atomic_size_t next;
	struct sockaddr_in to;
};

static int dial(const struct bench *b)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)&b->to, sizeof(b->to)) < 0) {
		perror("admin API");
		exit(1);
	}
	return fd;
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
	char text[ANSWER_MAX];
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

static void write_one(int fd, const char *body)
{
	char head[256];
	int status;

	snprintf(head, sizeof(head),
		 "POST /certificates HTTP/1.1\r\nHost: admin\r\nContent-Type: application/json\r\n"
		 "Content-Length: %zu\r\n\r\n",
		 strlen(body));
	send_all(fd, head, strlen(head));
	send_all(fd, body, strlen(body));
	status = read_answer(fd);
	if (status != 201) {
		fprintf(stderr, "a write was answered with %d\n", status);
		exit(1);
	}
}

static void *run(void *arg)
{
	struct bench *b = arg;
	int fd = dial(b);
	size_t i, sent = 0;

	while ((i = atomic_fetch_add(&b->next, 1)) < b->count) {
		write_one(fd, b->bodies[i]);
		/* The admin API ends a connection after its limit of requests. */
		if (++sent % PER_CONNECTION == 0) {
			close(fd);
			fd = dial(b);
		}
	}
	close(fd);
	return NULL;
}

static int read_bodies(struct bench *b, const char *path, size_t first, size_t n)
{
	static char line[BODY_MAX];
	FILE *f = fopen(path, "r");

	b->bodies = calloc(n, sizeof(*b->bodies));
	if (!f || !b->bodies) {
		if (f)
			fclose(f);
		return -1;
	}
	for (size_t i = 0; b->count < n && fgets(line, sizeof(line), f); i++) {
		struct str text = str_from(line);

		if (i < first)
			continue;
		if (!str_starts(text, line_head) || !str_ends(text, STR("}\n")))
			break;
		b->bodies[b->count] = str_dup(str_sub(text, line_head.len, text.len - 2));
		if (!b->bodies[b->count++])
			break;
	}
	fclose(f);
	return b->count == n ? 0 : -1;
}

int main(int argc, char **argv)
{
	struct bench b = {.to = {.sin_family = AF_INET}};
	pthread_t threads[THREADS_MAX];
	uint64_t first, n, connections, port, start;

	if (argc != 7 || str_u64(str_from(argv[2]), &first) < 0 ||
	    str_u64(str_from(argv[3]), &n) < 0 || str_u64(str_from(argv[4]), &connections) < 0 ||
	    connections > THREADS_MAX || str_u64(str_from(argv[6]), &port) < 0 ||
	    inet_pton(AF_INET, argv[5], &b.to.sin_addr) != 1) {
		fputs("usage: writes IMPORT_FILE FIRST N CONNECTIONS IP PORT\n", stderr);
		return 2;
	}
	b.to.sin_port = htons((uint16_t)port);
	if (read_bodies(&b, argv[1], first, n) < 0) {
		fprintf(stderr, "%s: not enough lines\n", argv[1]);
		free((void *)b.bodies);
		return 1;
	}
	start = clock_mono_ns();
	for (size_t i = 0; i < connections; i++)
		if (pthread_create(&threads[i], NULL, run, &b) != 0)
			exit(1);
	for (size_t i = 0; i < connections; i++)
		pthread_join(threads[i], NULL);
	printf("%.3f\n", (double)(clock_mono_ns() - start) / 1e9);
	free((void *)b.bodies);
	return 0;
}
