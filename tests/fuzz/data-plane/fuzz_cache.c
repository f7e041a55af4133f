/* The disk cache: input as a whole file, and as the records inside of a chunk that opened. */
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "data-plane/sync/cache_file.h"

/* libFuzzer's entry. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int on_record(enum cache_record type, struct str bytes, void *arg, struct err *e)
{
	struct plane_message m;
	uint64_t revision;

	(void)arg;
	if (type == CACHE_COMMIT)
		return cache_revision_get(bytes, &revision, e);
	if (plane_change_decode(&m, bytes, e) != 0)
		return -1;
	plane_message_free(&m);
	return 0;
}

static void as_file(const uint8_t *data, size_t size)
{
	static const struct cache_id id = {{7}, "aaaaaaaa-0000-4000-8000-000000000001"};
	struct cache_file f;
	struct err e = ERR_INIT;
	int fd = memfd_create("cache", MFD_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, data, size) == (ssize_t)size &&
	    cache_file_attach(&f, dup(fd), &id, &e) == 0) {
		if (cache_file_read(&f, 0, on_record, NULL, &e) != 0)
			(void)!cache_file_rollback(&f, &e);
		cache_file_close(&f);
	}
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err e = ERR_INIT;

	as_file(data, size);
	(void)!cache_records((struct str){(const char *)data, size}, on_record, NULL, &e);
	return 0;
}
