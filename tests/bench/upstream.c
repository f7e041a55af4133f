/* A plain HTTP/1.1 upstream that is never the limit: one thread, answers made beforehand.
 *
 *     upstream ADDRESS PORT
 * GET /N answers with N KiB ("/1", "/64", "/1024"), anything else with 1 KiB.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/core/str.h"

enum { EVENTS = 128, HEAD_SIZE = 8192, LARGEST_KIB = 1024 };

struct answer {
	uint64_t kib;
	char *bytes;
	size_t len;
};

struct client {
	int fd;
	size_t have;		     /* of head */
	const struct answer *answer; /* being sent, from sent on */
	size_t sent;
	bool dead;
	char head[HEAD_SIZE];
};

static struct answer answers[] = {{1, NULL, 0}, {64, NULL, 0}, {LARGEST_KIB, NULL, 0}};

static void make_answers(void)
{
	for (size_t i = 0; i < array_len(answers); i++) {
		size_t body = answers[i].kib * 1024;
		char head[256];
		int n = snprintf(head, sizeof(head),
				 "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
				 "Content-Length: %zu\r\n\r\n",
				 body);

		answers[i].len = (size_t)n + body;
		answers[i].bytes = malloc(answers[i].len);
		if (!answers[i].bytes)
			exit(1);
		memcpy(answers[i].bytes, head, (size_t)n);
		memset(answers[i].bytes + n, 'x', body);
	}
}

static const struct answer *answer_to(struct str head)
{
	size_t end;
	uint64_t kib;

	if (!str_starts(head, STR("GET /")))
		return &answers[0];
	head = str_sub(head, 5, head.len);
	end = str_find(head, ' ', 0);
	for (size_t i = 0; i < array_len(answers); i++)
		if (str_u64(str_sub(head, 0, end), &kib) == 0 && kib == answers[i].kib)
			return &answers[i];
	return &answers[0];
}

/* False: the socket takes no more, or is dead. */
static bool send_some(struct client *c)
{
	ssize_t n = send(c->fd, c->answer->bytes + c->sent, c->answer->len - c->sent, MSG_NOSIGNAL);

	if (n < 0) {
		c->dead = errno != EAGAIN;
		return false;
	}
	c->sent += (size_t)n;
	if (c->sent == c->answer->len)
		c->answer = NULL;
	return true;
}

/* Takes a whole head off what came; one that is too long ends the connection. */
static bool take_head(struct client *c)
{
	char *end = memmem(c->head, c->have, "\r\n\r\n", 4);
	size_t n;

	if (!end) {
		c->dead = c->dead || c->have == HEAD_SIZE;
		return false;
	}
	n = (size_t)(end - c->head) + 4;
	c->answer = answer_to((struct str){c->head, n});
	c->sent = 0;
	c->have -= n;
	memmove(c->head, c->head + n, c->have);
	return true;
}

static void client_event(struct client *c)
{
	ssize_t n = 0;

	do {
		while (c->answer && send_some(c))
			;
		if (c->answer)
			break;
		if (take_head(c))
			continue;
		n = recv(c->fd, c->head + c->have, HEAD_SIZE - c->have, 0);
		if (n > 0)
			c->have += (size_t)n;
		else
			c->dead = n == 0 || errno != EAGAIN;
	} while (!c->dead && (n > 0 || c->answer));
	if (c->dead) {
		close(c->fd);
		free(c);
	}
}

static void accept_all(int listener, int epoll)
{
	int fd, on = 1;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct client *c = calloc(1, sizeof(*c));
		struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLET};

		if (!c)
			exit(1);
		ev.data.ptr = c;
		c->fd = fd;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev) < 0)
			exit(1);
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in at = {.sin_family = AF_INET};
	struct epoll_event ev = {.events = EPOLLIN}, events[EVENTS];
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	uint64_t port;

	if (argc != 3 || inet_pton(AF_INET, argv[1], &at.sin_addr) != 1 ||
	    str_u64(str_from(argv[2]), &port) < 0) {
		fputs("usage: upstream ADDRESS PORT\n", stderr);
		return 2;
	}
	at.sin_port = htons((uint16_t)port);
	make_answers();
	if (bind(listener, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(listener, 1024) < 0 ||
	    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &ev) < 0) {
		perror("upstream");
		return 1;
	}
	for (;;) {
		int n = epoll_wait(epoll, events, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr)
				client_event(events[i].data.ptr);
			else
				accept_all(listener, epoll);
		}
	}
}
