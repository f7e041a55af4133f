#include "data-plane/node.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = 4096 };

static int make_id(const char *path, char id[UUID_TEXT_SIZE], struct err *e)
{
	char line[UUID_TEXT_SIZE + 1];
	int fd, n;
	bool ok;

	if (uuid_make(id, e) != 0)
		return -1;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(e, ERR_UNAVAILABLE, errno, "node id %s cannot be made", path);
	n = snprintf(line, sizeof(line), "%s\n", id);
	ok = write(fd, line, (size_t)n) == n && fsync(fd) == 0;
	if (!ok)
		err_errno(e, ERR_UNAVAILABLE, errno, "node id %s cannot be written", path);
	close(fd);
	if (!ok)
		unlink(path);
	return ok ? 0 : -1;
}

int node_identity(const char *prefix, char id[UUID_TEXT_SIZE], struct err *e)
{
	char path[PATH_SIZE], text[UUID_TEXT_SIZE + 1];
	ssize_t n;
	int fd;

	if (mkdir(prefix, 0700) != 0 && errno != EEXIST)
		return err_errno(e, ERR_UNAVAILABLE, errno, "prefix: %s cannot be made", prefix);
	if ((size_t)snprintf(path, sizeof(path), "%s/node_id", prefix) >= sizeof(path))
		return err_set(e, ERR_INVALID, "prefix: is too long");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return make_id(path, id, e);
	if (fd < 0)
		return err_errno(e, ERR_UNAVAILABLE, errno, "node id %s", path);
	n = read(fd, text, sizeof(text));
	close(fd);
	if (n < UUID_TEXT_SIZE - 1 || !uuid_is((struct str){text, UUID_TEXT_SIZE - 1}) ||
	    (n == UUID_TEXT_SIZE && text[n - 1] != '\n') || n > UUID_TEXT_SIZE)
		return err_set(e, ERR_INVALID, "node id %s is not a UUID; remove it for a new one",
			       path);
	memcpy(id, text, UUID_TEXT_SIZE - 1);
	id[UUID_TEXT_SIZE - 1] = '\0';
	return 0;
}
