#include "data-plane/proxy/access_log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "common/core/clock.h"
#include "common/core/log.h"

enum {
	GATHER_MS = 20, /* lines of this time are written together */
	LOOK_MS = 1000, /* without being woken */
	END_MS = 1000,	/* for the rest of the lines, at the end */
	PIECE = 4096,	/* PIPE_BUF: a pipe that polls as ready takes it without waiting */
	COMPLAIN_S = 60,
};

/* One writer, one reader: each moves one end. */
struct ring {
	_Alignas(64) _Atomic size_t in;	 /* bytes ever put in; thread: the worker's */
	atomic_uint_fast64_t dropped;	 /* lines; thread: the worker's */
	_Alignas(64) _Atomic size_t out; /* bytes ever taken out; thread: the log's */
	char bytes[ACCESS_RING_SIZE];
};

/* Shared by workers (their ring, `sleeping`) and the log's thread (everything else). */
struct access_log {
	char *path;
	enum access_format format;
	int fd;
	bool is_file; /* takes any amount at once */
	bool broken;  /* the last line was cut by a failed write */
	bool inside;  /* what was written last did not end a line */
	bool skip;    /* the begin of a line was lost: the rest of it goes too */
	int64_t complained_s;
	uint64_t ending_ns; /* when the thread gives up; 0: it is not ending */
	pthread_t thread;
	sem_t wake;
	atomic_bool sleeping, reopen, ending;
	atomic_uint_fast64_t lost; /* lines that could not be written */
	size_t count;
	struct ring *rings;
};

/* --- workers --- */

static void wake(struct access_log *l)
{
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&l->sleeping, memory_order_relaxed) &&
	    atomic_exchange(&l->sleeping, false))
		sem_post(&l->wake);
}

static void copy_in(struct ring *r, size_t at, const char *bytes, size_t n)
{
	size_t from = at % ACCESS_RING_SIZE, first = ACCESS_RING_SIZE - from;

	if (first > n)
		first = n;
	memcpy(r->bytes + from, bytes, first);
	memcpy(r->bytes, bytes + first, n - first);
}

void access_log_write(struct access_log *l, size_t writer, const struct access_entry *entry)
{
	char line[ACCESS_LINE_MAX];
	struct ring *r;
	size_t n, in;

	if (!l)
		return;
	r = &l->rings[writer];
	n = access_log_format(line, l->format, entry, clock_wall_ms());
	in = atomic_load_explicit(&r->in, memory_order_relaxed);
	if (n > ACCESS_RING_SIZE - (in - atomic_load_explicit(&r->out, memory_order_acquire))) {
		atomic_fetch_add_explicit(&r->dropped, 1, memory_order_relaxed);
		return;
	}
	copy_in(r, in, line, n);
	atomic_store_explicit(&r->in, in + n, memory_order_release);
	wake(l);
}

uint64_t access_log_dropped(const struct access_log *l)
{
	uint64_t n = 0;

	if (!l)
		return 0;
	n = atomic_load_explicit(&l->lost, memory_order_relaxed);
	for (size_t i = 0; i < l->count; i++)
		n += atomic_load_explicit(&l->rings[i].dropped, memory_order_relaxed);
	return n;
}

/* --- the thread --- */

static int open_path(struct access_log *l, struct err *e)
{
	static const char out[] = "/dev/stdout", err[] = "/dev/stderr";
	int fd;

	/* Not by name: it may be a socket, which cannot be opened. */
	if (strcmp(l->path, out) == 0 || strcmp(l->path, err) == 0)
		fd = fcntl(strcmp(l->path, out) == 0 ? STDOUT_FILENO : STDERR_FILENO,
			   F_DUPFD_CLOEXEC, 3);
	else
		fd = open(l->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
	if (fd < 0)
		return err_errno(e, ERR_UNAVAILABLE, errno, "access log %s", l->path);
	if (l->fd >= 0)
		close(l->fd);
	l->fd = fd;
	l->is_file = lseek(fd, 0, SEEK_CUR) >= 0;
	return 0;
}

static void complain(struct access_log *l, int errnum)
{
	int64_t now = clock_wall_s();
	struct err e = ERR_INIT;

	if (l->complained_s && now - l->complained_s < COMPLAIN_S)
		return;
	l->complained_s = now;
	err_errno(&e, ERR_UNAVAILABLE, errnum, "access log %s", l->path);
	log_error("access log lines lost", log_err(&e), log_u64("lost", access_log_dropped(l)));
}

static bool must_end(const struct access_log *l)
{
	return l->ending_ns && clock_mono_ns() >= l->ending_ns;
}

/* Waits until bytes can be written without waiting in write; false: the thread is to end. */
static bool wait_for_room(struct access_log *l)
{
	struct pollfd p = {.fd = l->fd, .events = POLLOUT};

	while (!l->is_file && poll(&p, 1, GATHER_MS) == 0) {
		if (atomic_load(&l->ending) && !l->ending_ns)
			l->ending_ns = clock_mono_ns() + END_MS * 1000000ULL;
		if (must_end(l) || atomic_load(&l->reopen))
			return false;
	}
	return true;
}

/* Gives up what waits in a piece of the ring, up to the end of its last line. */
static size_t lose(struct access_log *l, const char *bytes, size_t n, int errnum)
{
	size_t end = 0;
	uint64_t lines = 0;

	for (size_t i = 0; i < n; i++) {
		if (bytes[i] == '\n') {
			end = i + 1;
			lines++;
		}
	}
	atomic_fetch_add_explicit(&l->lost, lines, memory_order_relaxed);
	l->broken = l->inside;
	l->skip = lines == 0;
	complain(l, errnum);
	return lines > 0 ? end : n;
}

static size_t skip_line(struct access_log *l, const char *bytes, size_t n)
{
	const char *end = memchr(bytes, '\n', n);

	l->skip = !end;
	if (end)
		atomic_fetch_add_explicit(&l->lost, 1, memory_order_relaxed);
	return end ? (size_t)(end - bytes) + 1 : n;
}

/* Writes some of n bytes; returns how many of them are done with, 0: no more now. */
static size_t write_some(struct access_log *l, const char *bytes, size_t n)
{
	ssize_t rc;

	if (!wait_for_room(l))
		return 0;
	if (l->skip)
		return skip_line(l, bytes, n);
	if (l->broken && write(l->fd, "\n", 1) == 1)
		l->broken = l->inside = false;
	if (!l->is_file && n > PIECE)
		n = PIECE;
	rc = l->broken ? -1 : write(l->fd, bytes, n);
	if (rc > 0) {
		l->inside = bytes[rc - 1] != '\n';
		return (size_t)rc;
	}
	if (rc < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	return lose(l, bytes, n, errno);
}

static void drain(struct access_log *l, struct ring *r)
{
	size_t in = atomic_load_explicit(&r->in, memory_order_acquire);
	size_t out = atomic_load_explicit(&r->out, memory_order_relaxed);

	while (out != in) {
		size_t from = out % ACCESS_RING_SIZE, n = in - out;
		size_t done;

		if (n > ACCESS_RING_SIZE - from)
			n = ACCESS_RING_SIZE - from;
		done = write_some(l, r->bytes + from, n);
		if (done == 0)
			return;
		out += done;
		atomic_store_explicit(&r->out, out, memory_order_release);
	}
}

static bool is_empty(const struct access_log *l)
{
	for (size_t i = 0; i < l->count; i++)
		if (atomic_load_explicit(&l->rings[i].in, memory_order_acquire) !=
		    atomic_load_explicit(&l->rings[i].out, memory_order_relaxed))
			return false;
	return true;
}

static void sleep_ms(long ms)
{
	const struct timespec t = {0, ms * 1000000};

	(void)nanosleep(&t, NULL);
}

/* Until a worker has a line, or for a second. */
static void wait_for_lines(struct access_log *l)
{
	struct timespec until;

	atomic_store(&l->sleeping, true);
	atomic_thread_fence(memory_order_seq_cst);
	if (is_empty(l) && !atomic_load(&l->ending) && !atomic_load(&l->reopen)) {
		(void)clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += LOOK_MS / 1000;
		(void)sem_timedwait(&l->wake, &until);
	}
	atomic_store(&l->sleeping, false);
	if (!atomic_load(&l->ending))
		sleep_ms(GATHER_MS);
}

static void open_again(struct access_log *l)
{
	struct err e = ERR_INIT;

	if (open_path(l, &e) != 0)
		log_error("access log not opened again", log_err(&e));
	else
		log_notice("access log opened again", log_str("path", l->path));
}

static void *run(void *arg)
{
	struct access_log *l = arg;

	for (;;) {
		bool ending = atomic_load(&l->ending);

		if (atomic_exchange(&l->reopen, false))
			open_again(l);
		if (ending && !l->ending_ns)
			l->ending_ns = clock_mono_ns() + END_MS * 1000000ULL;
		for (size_t i = 0; i < l->count; i++)
			drain(l, &l->rings[i]);
		if (ending && (is_empty(l) || must_end(l)))
			return NULL;
		wait_for_lines(l);
	}
}

/* --- life --- */

static void release(struct access_log *l)
{
	if (l->fd >= 0)
		close(l->fd);
	sem_destroy(&l->wake);
	free(l->rings);
	free(l->path);
	free(l);
}

static int start(struct access_log *l, struct err *e)
{
	int rc;

	if (open_path(l, e) != 0)
		return -1;
	rc = pthread_create(&l->thread, NULL, run, l);
	return rc == 0 ? 0 : err_errno(e, ERR_UNAVAILABLE, rc, "the access log's thread");
}

int access_log_create(struct access_log **out, const struct access_log_options *o, struct err *e)
{
	struct access_log *l = calloc(1, sizeof(*l));

	if (!l)
		return err_memory(e, "the access log");
	l->fd = -1;
	l->format = o->format;
	l->count = o->writers;
	sem_init(&l->wake, 0, 0);
	l->path = str_dup(str_from(o->path));
	l->rings = aligned_alloc(64, o->writers * sizeof(struct ring));
	if (!l->path || !l->rings) {
		release(l);
		return err_memory(e, "the access log");
	}
	for (size_t i = 0; i < l->count; i++) {
		atomic_init(&l->rings[i].in, 0);
		atomic_init(&l->rings[i].out, 0);
		atomic_init(&l->rings[i].dropped, 0);
	}
	if (start(l, e) != 0) {
		release(l);
		return -1;
	}
	*out = l;
	return 0;
}

void access_log_free(struct access_log *l)
{
	if (!l)
		return;
	atomic_store(&l->ending, true);
	sem_post(&l->wake);
	pthread_join(l->thread, NULL);
	release(l);
}

void access_log_reopen(struct access_log *l)
{
	if (!l)
		return;
	atomic_store(&l->reopen, true);
	sem_post(&l->wake);
}
