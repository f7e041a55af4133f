/* The access log: a line per request and per stream, when it is over, in nginx's combined form or
 * as JSON (reliability-goals TR-10, SL-11).
 *
 *     worker 0 ──▶ ring ─┐
 *     worker 1 ──▶ ring ─┼─▶ writer thread ──▶ file, or standard output
 *     worker n ──▶ ring ─┘
 *
 * A worker formats its line into its own ring and goes on: it never waits. A line that finds no
 * room is dropped and counted, whatever the reason: a reader that does not read, a disk that is
 * full. Bytes of a request are escaped, so that no request makes two lines.
 */
#ifndef CARDEA_PROXY_ACCESS_LOG_H
#define CARDEA_PROXY_ACCESS_LOG_H

#include "common/http/msg.h"
#include "common/net/addr.h"

enum {
	ACCESS_RING_SIZE = 1 << 20, /* bytes per worker: seconds of a busy one */
	ACCESS_LINE_MAX = 8192,
	ACCESS_VALUE_MAX = 2048, /* bytes of one value; longer ones are cut */
};

enum access_format { ACCESS_COMBINED, ACCESS_JSON };

/* What is known of a request when it is over. Absent strings are STR_NONE. */
struct access_entry {
	const struct addr *client, *peer;
	struct str id, method, target, host, sni, user_agent, referer;
	struct str route, service, consumer;
	const char *stream; /* "tcp", "tls", "tls_passthrough": no request, but a connection */
	const char *tls;    /* version; NULL: plain */
	enum http_version version;
	unsigned status;	      /* 0: none was sent */
	bool aborted;		      /* the answer did not end well */
	uint64_t bytes_in, bytes_out; /* of bodies, tunnels, streams */
	uint64_t total_us;
	const struct addr *upstream; /* NULL: none was asked */
	unsigned upstream_status, tries;
	uint64_t upstream_us; /* until its head came */
};

struct access_log;

struct access_log_options {
	const char *path; /* /dev/stdout and /dev/stderr: what this process has open */
	enum access_format format;
	size_t writers; /* rings */
};

/* Opens the file for appending (0640) and starts the thread. Errors name the path. */
int access_log_create(struct access_log **out, const struct access_log_options *o,
		      struct err *e) must_check;
/* Writes what waits, within a second, and stops the thread. No writer may be left. NULL is fine. */
void access_log_free(struct access_log *l);
/* Opens the path again: after it was moved away. Thread: any. NULL is fine. */
void access_log_reopen(struct access_log *l);
/* Thread: the one that owns ring `writer`. l may be NULL. */
void access_log_write(struct access_log *l, size_t writer, const struct access_entry *entry);
/* Lines that were dropped. Thread: any. */
uint64_t access_log_dropped(const struct access_log *l);

/* The line of an entry, with its end; out has ACCESS_LINE_MAX bytes. now_ms: wall time. Pure. */
size_t access_log_format(char *out, enum access_format format, const struct access_entry *entry,
			 int64_t now_ms);

#endif
