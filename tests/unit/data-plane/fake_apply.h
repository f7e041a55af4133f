/* A fake of sync/apply that writes down what it is asked: for one test program, in place of the
 * library's. */
#ifndef CARDEA_TESTS_FAKE_APPLY_H
#define CARDEA_TESTS_FAKE_APPLY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "data-plane/sync/apply.h"
#include "data-plane/sync/decode.h"

struct apply {
	char epoch[EPOCH_MAX + 1];
	uint64_t revision;
	struct buf *log;
	bool refuse_commit;
	unsigned suspects, told;
};

static void note(struct buf *log, const char *fmt, ...) printf_like(2, 3);

static void note(struct buf *log, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	assert_int_equal(buf_addf(log, NULL, "%s%s", log->len ? " | " : "", text), 0);
}

const char *apply_epoch(const struct apply *a)
{
	return a->epoch;
}

uint64_t apply_revision(const struct apply *a)
{
	return a->revision;
}

int apply_begin_snapshot(struct apply *a, struct str epoch, uint64_t revision, struct err *e)
{
	(void)e;
	note(a->log, "begin %.*s %d", (int)epoch.len, epoch.ptr, (int)revision);
	return 0;
}

/* A change is a challenge whose host is a word; "bad" is refused. */
int apply_change(struct apply *a, const struct change *c, struct err *e)
{
	if (c->removed)
		note(a->log, "remove %s", change_kind_name(c->kind));
	else
		note(a->log, "put %.*s", (int)c->u.challenge.host.len, c->u.challenge.host.ptr);
	if (!c->removed && str_eq(c->u.challenge.host, STR("bad")))
		return err_set(e, ERR_INVALID, "it is bad");
	return 0;
}

int apply_commit(struct apply *a, struct str epoch, uint64_t revision,
		 struct apply_culprit *culprit, struct err *e)
{
	if (a->refuse_commit) {
		a->refuse_commit = false;
		culprit->kind = "snis";
		culprit->id[15] = 9;
		note(a->log, "commit refused");
		return err_set(e, ERR_INVALID, "dangling");
	}
	memcpy(a->epoch, epoch.ptr, epoch.len);
	a->epoch[epoch.len] = '\0';
	a->revision = revision;
	note(a->log, "commit %d", (int)revision);
	return 0;
}

void apply_rollback(struct apply *a)
{
	note(a->log, "rollback");
}

void apply_restart(struct apply *a)
{
	a->told = 0;
}

/* The cache had `suspects` entities that this node died of. */
bool apply_suspect(struct apply *a, struct apply_culprit *culprit, struct err *why)
{
	if (a->told == a->suspects)
		return false;
	a->told++;
	*culprit = (struct apply_culprit){.kind = "certificates", .id = {[15] = 7}};
	(void)err_set(why, ERR_INVALID, "died of it");
	return true;
}

#endif
