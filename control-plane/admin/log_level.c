/* /debug/.../log-level: what is logged, for a while (kong-admin-api.md 3.7). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/core/log.h"
#include "control-plane/admin/fault.h"
#include "control-plane/admin/handlers.h"
#include "control-plane/fleet/level.h"

enum { SECONDS_DEFAULT = 60, LEVEL_SHOWN = 64 };

/* Kong's levels; there is none above crit here. */
static const struct {
	const char *name;
	enum log_level level;
} levels[] = {
	{"debug", LOG_DEBUG}, {"info", LOG_INFO}, {"notice", LOG_NOTICE}, {"warn", LOG_WARN},
	{"error", LOG_ERROR}, {"crit", LOG_CRIT}, {"alert", LOG_CRIT},	  {"emerg", LOG_CRIT},
};

void log_level_get(struct admin_request *r)
{
	admin_reply_message(r, 200, "log level: %s", log_level_name(log_level()));
}

static bool has_database(const struct admin_request *r)
{
	const struct admin_conf *c = &r->ctx->conf;
	struct buf text = BUF_INIT;
	bool off = false;

	for (size_t i = 0; i < c->key_count; i++) {
		if (strcmp(c->keys[i].name, "database") != 0) /* not secret */
			continue;
		off = conf_value_text(&c->keys[i], c->values, &text, NULL) == 0 &&
		      str_eq(buf_str(&text), STR("off"));
		buf_deinit(&text);
	}
	return !off;
}

/* Of the query or the body; what is no number is the default. -1: too small. */
static int64_t seconds_of(struct admin_request *r)
{
	const json_t *given = json_object_get(r->input, "timeout");
	struct str query = admin_query(r, "timeout");
	const char *text = query.ptr ? query.ptr : json_string_value(given);
	double seconds = json_is_number(given) ? json_number_value(given) : SECONDS_DEFAULT;
	char *copy = text && query.ptr ? str_dup(query) : NULL;
	char *end = NULL;

	if (text) {
		double parsed = strtod(copy ? copy : text, &end);

		if (end != (copy ? copy : text) && !*end && isfinite(parsed))
			seconds = parsed;
	}
	free(copy);
	if (seconds < 0)
		return -1;
	return seconds > LEVEL_SECONDS_MAX ? LEVEL_SECONDS_MAX : (int64_t)ceil(seconds);
}

/* The level and time of the request; answers unless it returns true. */
static bool parse(struct admin_request *r, enum log_level *level, uint64_t *seconds)
{
	struct str name = r->segments[r->segment_count - 1];
	int64_t given = seconds_of(r);
	size_t i = 0;

	if (!has_database(r)) {
		admin_reply_message(r, 405, "cannot change log level when not using a database");
		return false;
	}
	while (i < array_len(levels) && !str_eq(name, str_from(levels[i].name)))
		i++;
	if (i == array_len(levels)) {
		admin_reply_message(r, 400, "unknown log level: %.*s",
				    (int)(name.len < LEVEL_SHOWN ? name.len : LEVEL_SHOWN),
				    name.ptr);
		return false;
	}
	if (given < 0) {
		admin_reply_message(r, 400, "timeout must be greater than or equal to 0");
		return false;
	}
	*level = levels[i].level;
	*seconds = (uint64_t)given;
	return true;
}

static void reply_already(struct admin_request *r, enum log_level level)
{
	admin_reply_message(r, 200, "log level is already %s", log_level_name(level));
}

void log_level_put(struct admin_request *r)
{
	enum log_level level;
	uint64_t seconds;

	if (!parse(r, &level, &seconds))
		return;
	if (level == log_level()) {
		reply_already(r, level);
		return;
	}
	fleet_log_level(r->ctx->fleet, level, seconds);
	admin_reply_message(r, 200, "log level changed");
}

static void on_told(const struct store_result *res, void *arg)
{
	struct admin_request *r = arg;

	if (!admin_resume(r))
		return;
	if (res->fault != STORE_OK)
		fault_reply(r, NULL, res);
	else
		admin_reply_message(r, 200, "log level changed");
}

/* The others are told even when nothing changes here: theirs may be another. */
void log_level_put_all(struct admin_request *r)
{
	enum log_level level;
	uint64_t seconds;

	if (!parse(r, &level, &seconds))
		return;
	admin_suspend(r);
	fleet_log_level_all(r->ctx->fleet, level, seconds, on_told, r);
}
