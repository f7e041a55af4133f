#include "data-plane/proxy/memory_guard.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "common/core/str.h"

int memory_guard_init(struct memory_guard *g, uint64_t limit, struct err *e)
{
	*g = (struct memory_guard){.limit = limit, .file = -1};
	atomic_init(&g->tight, false);
	if (limit == 0)
		return 0;
	g->file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	if (g->file < 0)
		return err_errno(e, ERR_UNAVAILABLE, errno, "memory_limit: /proc/self/statm");
	return 0;
}

void memory_guard_deinit(struct memory_guard *g)
{
	if (g->limit > 0 && g->file >= 0)
		close(g->file);
	g->file = -1;
}

bool memory_guard_judge(struct memory_guard *g, uint64_t resident)
{
	bool before = memory_guard_is_tight(g);
	uint64_t percent = before ? MEMORY_FREE_PERCENT : MEMORY_TIGHT_PERCENT;
	bool now = resident >= g->limit / 100 * percent;

	g->resident = resident;
	atomic_store_explicit(&g->tight, now, memory_order_relaxed);
	return now != before;
}

/* "size resident shared ...", in pages. */
bool memory_guard_sample(struct memory_guard *g)
{
	char text[128];
	struct str rest, word = STR_NONE;
	uint64_t pages;
	ssize_t n;

	if (g->limit == 0)
		return false;
	n = pread(g->file, text, sizeof(text), 0);
	if (n <= 0)
		return false;
	rest = (struct str){text, (size_t)n};
	for (unsigned i = 0; i < 2; i++)
		if (!str_split(&rest, ' ', &word))
			return false;
	if (str_u64(word, &pages) < 0)
		return false;
	return memory_guard_judge(g, pages * (uint64_t)sysconf(_SC_PAGESIZE));
}
