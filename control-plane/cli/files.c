#include "control-plane/cli/files.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <sys/stat.h>
#include <stdio.h>
#include <unistd.h>

bool file_exists(const char *path)
{
	return access(path, F_OK) == 0;
}

static int read_all(int fd, const char *path, struct buf *out, struct err *e)
{
	char bytes[4096];
	ssize_t n = 0;
	int rc = 0;

	while (rc == 0 && (n = read(fd, bytes, sizeof(bytes))) > 0)
		rc = buf_add(out, bytes, (size_t)n, e);
	if (rc == 0 && n < 0)
		rc = err_errno(e, ERR_INVALID, errno, "%s", path);
	OPENSSL_cleanse(bytes, sizeof(bytes));
	return rc;
}

int file_read(const char *path, struct buf *out, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int rc;

	if (fd < 0)
		return err_errno(e, ERR_INVALID, errno, "%s", path);
	rc = read_all(fd, path, out, e);
	close(fd);
	return rc;
}

int file_read_or_stdin(const char *path, struct buf *out, struct err *e)
{
	if (!str_eq(str_from(path), STR("-")))
		return file_read(path, out, e);
	return read_all(STDIN_FILENO, "standard input", out, e);
}

static int write_all(int fd, struct str content)
{
	while (content.len > 0) {
		ssize_t n = write(fd, content.ptr, content.len);

		if (n < 0)
			return -1;
		content = str_sub(content, (size_t)n, content.len);
	}
	return fsync(fd);
}

int file_write(const char *path, struct str content, unsigned mode, struct err *e)
{
	char beside[4096];
	int rc, fd;

	if (snprintf(beside, sizeof(beside), "%s.new", path) >= (int)sizeof(beside))
		return err_set(e, ERR_INVALID, "%s: path is too long", path);
	fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, (mode_t)mode);
	if (fd < 0)
		return err_errno(e, ERR_INVALID, errno, "%s", beside);
	rc = fchmod(fd, (mode_t)mode) < 0 || write_all(fd, content) < 0 ? -1 : 0;
	if (close(fd) < 0 || rc < 0 || rename(beside, path) < 0)
		return err_errno(e, ERR_LIMIT, errno, "writing %s", path);
	return 0;
}
