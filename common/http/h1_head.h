/* What the lines of an HTTP/1 head mean: used by h1_parse only, which cuts the lines. Each function
 * returns H1_MORE, or H1_ERROR after h1_fail. Thread: the parser's. */
#ifndef CARDEA_HTTP_H1_HEAD_H
#define CARDEA_HTTP_H1_HEAD_H

#include "common/http/h1_parse.h"

/* Refuses the message; the parser's last move. */
void h1_refuse(struct h1_parser *p, unsigned status, const char *reason);
/* h1_refuse, as a value to return: here, so that an analyzer sees that it is always H1_ERROR. */
static inline enum h1_event h1_fail(struct h1_parser *p, unsigned status, const char *reason)
{
	h1_refuse(p, status, reason);
	return H1_ERROR;
}
static inline enum h1_event h1_fail_memory(struct h1_parser *p)
{
	return h1_fail(p, 500, "memory");
}
/* Status 400. A CR inside the line is its own row (H1-11), whatever else is wrong there. */
static inline enum h1_event h1_fail_line(struct h1_parser *p, struct str line, const char *reason)
{
	return h1_fail(p, 400, memchr(line.ptr, '\r', line.len) ? "H1-11" : reason);
}

/* Method, target and version (H1-14 to H1-20). */
enum h1_event h1_request_line(struct h1_parser *p, struct str line);
/* Cuts a field line of a head or trailer section: *f gets the lower-case name and the trimmed
 * value, copied into the arena (H1-08 to H1-12). */
enum h1_event h1_field(struct h1_parser *p, struct str line, struct http_field *f);
/* A field line of the head: into request->fields, or among those that the parser answers itself. */
enum h1_event h1_head_field(struct h1_parser *p, struct str line);
/* The empty line: framing, host, expectation and connection of the request (H1-01 to H1-07, H1-18,
 * H1-21 to H1-24, H1-33 to H1-35). */
enum h1_event h1_head_finish(struct h1_parser *p);

/* --- responses: h1_status.c --- */

/* Version and status. */
enum h1_event h1_status_line(struct h1_parser *p, struct str line);
/* The empty line of a response: framing and connection (RFC 9112 6.3, UP-01, UP-06). */
enum h1_event h1_status_finish(struct h1_parser *p);
/* "HTTP/1.x"; returns 400 or 505 for what is not, else 0. */
unsigned h1_version(struct str s, enum http_version *version);
/* The fields of the message that is read. */
static inline struct http_fields *h1_fields(struct h1_parser *p)
{
	return p->response ? &p->response->fields : &p->request->fields;
}
struct h1_connection {
	bool close;
	bool keep_alive;
	bool upgrade;
	unsigned count;
};
/* What the Connection fields say; the fields that they name go (H1-35). */
enum h1_event h1_connection_options(struct h1_parser *p, struct h1_connection *o);

#endif
