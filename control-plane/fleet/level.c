#include "control-plane/fleet/level.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

void level_set(struct level *v, enum log_level level, uint64_t seconds, uint64_t now_ms)
{
	if (!v->until_ms)
		v->before = log_level();
	v->until_ms = seconds ? now_ms + seconds * 1000 : 0;
	log_set_level(level);
	log_notice("log level changed", log_str("level", log_level_name(level)),
		   log_u64("seconds", seconds));
}

void level_tick(struct level *v, uint64_t now_ms)
{
	if (!v->until_ms || now_ms < v->until_ms)
		return;
	v->until_ms = 0;
	log_set_level(v->before);
	log_notice("log level is as before", log_str("level", log_level_name(v->before)));
}

int level_notice(struct buf *out, const char *self, enum log_level level, uint64_t seconds,
		 struct err *e)
{
	return buf_addf(out, e, "{\"cp\":\"%s\",\"log_level\":\"%s\",\"seconds\":%" PRIu64 "}",
			self, log_level_name(level), seconds);
}

void level_notified(struct level *v, const char *self, const char *payload, uint64_t now_ms)
{
	json_t *notice = json_loads(payload, 0, NULL);
	const char *from = json_string_value(json_object_get(notice, "cp"));
	const char *name = json_string_value(json_object_get(notice, "log_level"));
	json_int_t seconds = json_integer_value(json_object_get(notice, "seconds"));
	enum log_level level;

	if (from && strcmp(from, self) != 0 && name && seconds >= 0 &&
	    seconds <= LEVEL_SECONDS_MAX && log_level_parse(name, &level) == 0)
		level_set(v, level, (uint64_t)seconds, now_ms);
	json_decref(notice);
}
