/* The admin API as a client sees it: one request at a time over one kept connection. Thread: the
 * caller's; calls block. */
#ifndef CARDEA_CLI_API_H
#define CARDEA_CLI_API_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/core/err.h"
#include "common/core/str.h"

struct api;

/* All borrowed; NULL: none. */
struct api_options {
	const char *server; /* "http://127.0.0.1:8001", maybe with a path */
	const char *token;
	const char *ca, *cert, *key; /* PEM files */
	uint64_t timeout_ms;
};

struct api_request {
	const char *method;
	const char *path;   /* "/services?size=10": escaped */
	const json_t *json; /* the body; NULL: raw, if any */
	struct str raw;	    /* STR_NONE: no body */
	const char *content_type;
	uint64_t wait_s; /* Prefer: wait=N when not 0 */
	bool async;	 /* Prefer: respond-async */
	/* A body of any size, read as it is sent. With it the time limit is one of silence. */
	FILE *from;
	int64_t from_size;  /* -1: unknown */
	const char *accept; /* NULL: JSON */
	/* The answer as it comes, besides what api_answer keeps. May be NULL. */
	void (*on_bytes)(struct str bytes, void *arg);
	void *arg;
};

struct api_answer {
	unsigned status;
	json_t *body;	   /* NULL: empty, or not JSON */
	struct buf text;   /* as it came; secret: may hold private keys */
	char missing[512]; /* X-Cardea-Missing-Nodes, cut; "": none */
};

#define API_ANSWER_INIT                                                                            \
	{                                                                                          \
		.text = {.secret = true, .limit = API_ANSWER_MAX }                                 \
	}
enum { API_ANSWER_MAX = 512 << 20 };

/* ERR_INVALID: no URL of http or https, or a file cannot be read. Nothing is sent yet. */
int api_create(struct api **out, const struct api_options *o, struct err *e) must_check;
void api_free(struct api *a);
/* 0: an answer came, whatever its status. ERR_UNAVAILABLE, ERR_TIMEOUT: none did; ERR_INVALID: a
 * file of the options cannot be used. The answer is begun with API_ANSWER_INIT, may be used again,
 * and is freed by the caller. */
int api_call(struct api *a, const struct api_request *q, struct api_answer *out,
	     struct err *e) must_check;
/* Whether the server did it; whether it said so with an object; with a page of rows. */
bool api_ok(const struct api_answer *a);
bool api_row(const struct api_answer *a);
bool api_list(const struct api_answer *a);
/* What the server said against it: its message, or the status in words. Appends. */
int api_message(const struct api_answer *a, struct buf *out, struct err *e) must_check;
void api_answer_deinit(struct api_answer *a);
/* A text of a row; "": none. */
const char *api_text(const json_t *row, const char *name);
/* Appends "&name=value", escaped; nothing for NULL or "". */
int api_add_query(struct buf *path, const char *name, const char *value, struct err *e) must_check;
/* Appends s with everything escaped that has a meaning in a path or a query. */
int api_escape(struct buf *out, struct str s, struct err *e) must_check;

#endif
