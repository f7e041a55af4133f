#include "data-plane/sync/suspects.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/core/log.h"

enum { PATH_SIZE = 4096, REFUSED_AFTER = 2 };

static const char magic[8] = "CARDEAS1";

struct entry {
	unsigned char id[SUSPECTS_ID_SIZE];
	unsigned char digest[SHA256_DIGEST_LENGTH];
	uint8_t kind;
	uint8_t crashes; /* that it may have caused */
	uint8_t told;	 /* a control plane holds it back */
	uint8_t unused[5];
};

/* The file, as it lies in memory. */
struct file {
	char magic[8];
	uint32_t count;
	volatile uint32_t crashed; /* by a fatal signal */
	struct entry entries[SUSPECTS_MAX];
};

struct suspects {
	struct file *file;
	uint64_t noted_ms[SUSPECTS_MAX]; /* of each entry */
	bool said[SUSPECTS_MAX];	 /* on this stream */
	size_t refused;
};

/* --- fatal signals --- */

static const int fatal[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};

static struct file *marked; /* what the handler marks; NULL: nothing */
static struct sigaction before[array_len(fatal)];

/* Notes it and lets the signal do what it did before. */
static void on_fatal(int signum, siginfo_t *info, void *context)
{
	(void)context;
	if (marked)
		marked->crashed = 1;
	for (size_t i = 0; i < array_len(fatal); i++)
		if (fatal[i] == signum)
			sigaction(signum, &before[i], NULL);
	if (info->si_code <= 0) /* sent: a fault of our own comes again by itself */
		raise(signum);
}

static void catch_signals(struct file *f)
{
	struct sigaction a = {.sa_sigaction = on_fatal, .sa_flags = SA_SIGINFO | SA_ONSTACK};

	marked = f;
	for (size_t i = 0; i < array_len(fatal); i++)
		sigaction(fatal[i], &a, &before[i]);
}

static void release_signals(void)
{
	for (size_t i = 0; i < array_len(fatal); i++)
		sigaction(fatal[i], &before[i], NULL);
	marked = NULL;
}

/* --- entries --- */

static bool is_refused(const struct entry *e)
{
	return e->crashes >= REFUSED_AFTER;
}

static size_t find(const struct suspects *s, unsigned kind,
		   const unsigned char id[SUSPECTS_ID_SIZE])
{
	size_t i = 0;

	while (i < s->file->count && (s->file->entries[i].kind != kind ||
				      memcmp(s->file->entries[i].id, id, SUSPECTS_ID_SIZE) != 0))
		i++;
	return i;
}

/* They stay in the order in which they were noted. */
static void drop(struct suspects *s, size_t i)
{
	size_t behind = s->file->count - i - 1;

	s->refused -= is_refused(&s->file->entries[i]) ? 1 : 0;
	memmove(&s->file->entries[i], &s->file->entries[i + 1], behind * sizeof(struct entry));
	memmove(&s->noted_ms[i], &s->noted_ms[i + 1], behind * sizeof(s->noted_ms[0]));
	memmove(&s->said[i], &s->said[i + 1], behind * sizeof(s->said[0]));
	s->file->count--;
}

static void digest_of(unsigned char out[SHA256_DIGEST_LENGTH], struct str encoded)
{
	SHA256((const unsigned char *)encoded.ptr, encoded.len, out);
}

/* --- a start --- */

/* How many of those that crashed it before may be refused now: with many it is hardly all of them.
 */
static size_t how_many(const struct suspects *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->file->count; i++)
		n += s->file->entries[i].crashes == REFUSED_AFTER - 1 ? 1 : 0;
	return n > SUSPECTS_FEW ? n / 2 : n;
}

/* What the last process left: after a crash each entry may have caused it, the newest most likely.
 */
static void judge(struct suspects *s, uint64_t now_ms)
{
	bool crashed = s->file->crashed != 0;
	size_t left = crashed ? how_many(s) : 0;

	for (size_t i = s->file->count; i > 0; i--) {
		struct entry *e = &s->file->entries[i - 1];
		bool again = e->crashes == REFUSED_AFTER - 1;

		s->noted_ms[i - 1] = now_ms;
		if (crashed && !is_refused(e) && (!again || left > 0)) {
			e->crashes++;
			left -= again ? 1 : 0;
			s->refused += again ? 1 : 0;
		} else if (is_refused(e)) {
			s->refused++;
		} else if (e->crashes == 0) {
			drop(s, i - 1);
		}
	}
	s->file->crashed = 0;
	if (s->file->count == 0)
		return;
	log_error("this node crashed after it was given something new",
		  log_u64("on_trial", s->file->count - s->refused), log_u64("refused", s->refused));
}

static int map_file(struct suspects *s, int fd, const char *path, struct err *e)
{
	struct stat st;
	void *at;
	int rc;

	if (fstat(fd, &st) != 0 || (st.st_size != sizeof(struct file) && ftruncate(fd, 0) != 0))
		return err_errno(e, ERR_UNAVAILABLE, errno, "%s", path);
	/* Not a hole: a write into one would be fatal on a full disk. */
	rc = posix_fallocate(fd, 0, sizeof(struct file));
	if (rc != 0)
		return err_errno(e, ERR_UNAVAILABLE, rc, "%s", path);
	at = mmap(NULL, sizeof(struct file), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		return err_errno(e, ERR_UNAVAILABLE, errno, "%s", path);
	s->file = at;
	if (memcmp(s->file->magic, magic, sizeof(magic)) != 0 || s->file->count > SUSPECTS_MAX) {
		memset(s->file, 0, sizeof(*s->file));
		memcpy(s->file->magic, magic, sizeof(magic));
	}
	return 0;
}

int suspects_open(struct suspects **out, const char *folder, uint64_t now_ms, struct err *e)
{
	struct suspects *s = calloc(1, sizeof(*s));
	char path[PATH_SIZE];
	int fd, rc;

	if (!s)
		return err_memory(e, "suspects");
	snprintf(path, sizeof(path), "%s/suspects", folder);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	rc = fd < 0 ? err_errno(e, ERR_UNAVAILABLE, errno, "%s", path) : map_file(s, fd, path, e);
	if (fd >= 0)
		close(fd);
	if (rc != 0) {
		free(s);
		return -1;
	}
	judge(s, now_ms);
	catch_signals(s->file);
	*out = s;
	return 0;
}

void suspects_close(struct suspects *s)
{
	if (!s)
		return;
	release_signals();
	for (size_t i = s->file->count; i > 0; i--)
		if (!is_refused(&s->file->entries[i - 1]))
			drop(s, i - 1);
	munmap(s->file, sizeof(*s->file));
	free(s);
}

/* --- running --- */

bool suspects_refuses(const struct suspects *s, unsigned kind,
		      const unsigned char id[SUSPECTS_ID_SIZE], struct str encoded)
{
	unsigned char digest[SHA256_DIGEST_LENGTH];
	size_t i;

	if (s->refused == 0)
		return false;
	i = find(s, kind, id);
	if (i == s->file->count || !is_refused(&s->file->entries[i]))
		return false;
	digest_of(digest, encoded);
	return memcmp(s->file->entries[i].digest, digest, sizeof(digest)) == 0;
}

void suspects_note(struct suspects *s, unsigned kind, const unsigned char id[SUSPECTS_ID_SIZE],
		   struct str encoded, uint64_t now_ms)
{
	unsigned char digest[SHA256_DIGEST_LENGTH];
	size_t i = find(s, kind, id);
	struct entry *e;

	digest_of(digest, encoded);
	if (i < s->file->count && memcmp(s->file->entries[i].digest, digest, sizeof(digest)) != 0) {
		drop(s, i);
		i = s->file->count;
	}
	if (i == SUSPECTS_MAX)
		return;
	s->noted_ms[i] = now_ms;
	if (i < s->file->count)
		return;
	e = &s->file->entries[i];
	*e = (struct entry){.kind = (uint8_t)kind};
	memcpy(e->id, id, SUSPECTS_ID_SIZE);
	memcpy(e->digest, digest, sizeof(digest));
	s->said[i] = false;
	s->file->count++;
}

void suspects_told(struct suspects *s, unsigned kind, const unsigned char id[SUSPECTS_ID_SIZE])
{
	size_t i = find(s, kind, id);

	if (i < s->file->count)
		s->file->entries[i].told = 1;
}

void suspects_restart(struct suspects *s)
{
	memset(s->said, 0, sizeof(s->said));
}

bool suspects_next(struct suspects *s, unsigned *kind, unsigned char id[SUSPECTS_ID_SIZE])
{
	for (size_t i = 0; s->refused > 0 && i < s->file->count; i++) {
		const struct entry *e = &s->file->entries[i];

		if (!is_refused(e) || e->told || s->said[i])
			continue;
		s->said[i] = true;
		*kind = e->kind;
		memcpy(id, e->id, SUSPECTS_ID_SIZE);
		return true;
	}
	return false;
}

void suspects_tick(struct suspects *s, uint64_t now_ms)
{
	for (size_t i = s->file->count; i > 0; i--)
		if (!is_refused(&s->file->entries[i - 1]) &&
		    now_ms - s->noted_ms[i - 1] >= SUSPECTS_TRIAL_MS)
			drop(s, i - 1);
}

size_t suspects_refused(const struct suspects *s)
{
	return s->refused;
}

size_t suspects_on_trial(const struct suspects *s)
{
	return s->file->count - s->refused;
}
