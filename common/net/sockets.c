#include "common/net/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

void sockets_init(struct sockets *s)
{
	*s = (struct sockets){0};
}

void sockets_deinit(struct sockets *s)
{
	for (size_t i = 0; i < s->count; i++)
		close(s->items[i].fd);
	free(s->items);
	sockets_init(s);
}

static int grow(struct sockets *s, struct err *e)
{
	size_t cap = s->cap ? 2 * s->cap : 8;
	struct socket_entry *items;

	if (s->count < s->cap)
		return 0;
	if (s->count >= SOCKETS_MAX)
		return err_set(e, ERR_LIMIT, "more than %d listening sockets", SOCKETS_MAX);
	items = realloc(s->items, cap * sizeof(*items));
	if (!items)
		return err_memory(e, "handing sockets on");
	s->items = items;
	s->cap = cap;
	return 0;
}

int sockets_add(struct sockets *s, const struct addr *addr, int fd, struct err *e)
{
	int own;

	if (grow(s, e) != 0)
		return -1;
	own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (own < 0)
		return err_errno(e, ERR_UNAVAILABLE, errno, "handing a socket on");
	s->items[s->count++] = (struct socket_entry){*addr, own};
	return 0;
}

static bool same(const struct addr *a, const struct addr *b)
{
	char x[ADDR_TEXT_SIZE], y[ADDR_TEXT_SIZE];

	addr_text(a, x, sizeof(x));
	addr_text(b, y, sizeof(y));
	return str_eq(str_from(x), str_from(y));
}

int sockets_take(struct sockets *s, const struct addr *addr)
{
	for (size_t i = 0; i < s->count; i++) {
		int fd = s->items[i].fd;

		if (!same(&s->items[i].addr, addr))
			continue;
		s->count--;
		for (size_t k = i; k < s->count; k++)
			s->items[k] = s->items[k + 1];
		return fd;
	}
	return -1;
}

int sockets_export(const struct sockets *s, struct buf *out, struct err *e)
{
	for (size_t i = 0; i < s->count; i++) {
		char text[ADDR_TEXT_SIZE];

		addr_text(&s->items[i].addr, text, sizeof(text));
		if (buf_addf(out, e, "%s%s", i ? " " : "", text) != 0)
			return -1;
	}
	return 0;
}

static int check_listening(int fd, struct err *e)
{
	int on = 0;
	socklen_t len = sizeof(on);

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) != 0 || !on)
		return err_set(e, ERR_INVALID, "descriptor %d is no listening socket", fd);
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
		return err_errno(e, ERR_INVALID, errno, "descriptor %d", fd);
	return 0;
}

int sockets_import(struct sockets *s, struct str text, int first, struct err *e)
{
	struct str word;

	sockets_init(s);
	while (text.len > 0 && str_split(&text, ' ', &word)) {
		int fd = first + (int)s->count;
		struct addr addr;

		if (grow(s, e) != 0 || addr_parse(&addr, word, e) != 0 ||
		    check_listening(fd, e) != 0) {
			free(s->items);
			sockets_init(s);
			return -1;
		}
		s->items[s->count++] = (struct socket_entry){addr, fd};
	}
	return 0;
}
