/* The log: one line per event on stderr, logfmt or JSON. The one global of the program.
 *
 * An event is a short fixed text and key=value fields. Values are escaped by the log; secrets are
 * never passed to it. Thread: any; each event is one write(2), so that lines of threads do not mix.
 *
 *     log_info("certificate stored", log_str("id", id), log_u64("revision", rev));
 */
#ifndef CARDEA_CORE_LOG_H
#define CARDEA_CORE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/core/compiler.h"
#include "common/core/err.h"

/* Kong's names. */
enum log_level { LOG_DEBUG, LOG_INFO, LOG_NOTICE, LOG_WARN, LOG_ERROR, LOG_CRIT };
enum log_format { LOG_FORMAT_LOGFMT, LOG_FORMAT_JSON };

struct log_field {
	enum { LOG_FIELD_STR, LOG_FIELD_I64, LOG_FIELD_U64, LOG_FIELD_F64 } type;
	const char *key;
	union {
		struct {
			const char *ptr;
			size_t len;
		} str;
		int64_t i64;
		uint64_t u64;
		double f64;
	} v;
};

/* Field makers. NULL strings print as empty. The pointed-to bytes must live until the log call
 * returns. */
struct log_field log_str(const char *key, const char *value);
struct log_field log_strn(const char *key, const char *value, size_t len);
struct log_field log_i64(const char *key, int64_t value);
struct log_field log_u64(const char *key, uint64_t value);
struct log_field log_f64(const char *key, double value);
/* The error's message as field "error". */
struct log_field log_err(const struct err *e);

/* Sets what is printed and how. program ("cardea-cp") is kept as a pointer. */
void log_setup(const char *program, enum log_level level, enum log_format format);
void log_set_level(enum log_level level);
enum log_level log_level(void);
/* "debug" ... "crit" to a level; -1 for any other text. */
int log_level_parse(const char *text, enum log_level *out) must_check;
const char *log_level_name(enum log_level level);
bool log_enabled(enum log_level level);

/* What the macros below call. */
void log_event(enum log_level level, const char *event, const struct log_field *fields, size_t n);
/* Formats what log_event would write, without the time stamp: for tests. Returns the length, at
 * most size - 1 (size is at least 8). A value in quotes that does not fit is cut, other fields that
 * do not fit are left out. */
size_t log_format_line(char *out, size_t size, enum log_format format, enum log_level level,
		       const char *event, const struct log_field *fields, size_t n);

#define LOG_AT(level, event, ...)                                                                  \
	do {                                                                                       \
		if (log_enabled(level)) {                                                          \
			const struct log_field log_fields_[] = {log_str(NULL, NULL), __VA_ARGS__}; \
			log_event(level, event, log_fields_ + 1, array_len(log_fields_) - 1);      \
		}                                                                                  \
	} while (0)

/* At least one field is expected after the event text. */
#define log_debug(event, ...) LOG_AT(LOG_DEBUG, event, __VA_ARGS__)
#define log_info(event, ...) LOG_AT(LOG_INFO, event, __VA_ARGS__)
#define log_notice(event, ...) LOG_AT(LOG_NOTICE, event, __VA_ARGS__)
#define log_warn(event, ...) LOG_AT(LOG_WARN, event, __VA_ARGS__)
#define log_error(event, ...) LOG_AT(LOG_ERROR, event, __VA_ARGS__)
#define log_crit(event, ...) LOG_AT(LOG_CRIT, event, __VA_ARGS__)

#endif
