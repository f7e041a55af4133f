/* Documents into a store without a database: read, checked and made into a state on libuv's pool,
 * then taken as one revision, or not at all. owner: the caller, thread: the loop. */
#ifndef CARDEA_STORE_LOAD_H
#define CARDEA_STORE_LOAD_H

#include <jansson.h>

#include "common/core/err.h"
#include "common/core/str.h"
#include "control-plane/store/store.h"

enum { LOAD_HASH_SIZE = 33, LOAD_FILE_MAX = 256 << 20 };

/* One of file, text and tree. */
struct load_request {
	const char *file; /* is read; at most LOAD_FILE_MAX bytes. Its suffix says what it is */
	struct buf *text; /* JSON or YAML; taken over, and left empty */
	json_t *tree;	  /* a document that was parsed; a reference is taken */
	bool flatten;	  /* the fault lists what is wrong by entity */
	bool verify;	  /* tls_certificate_verify: model/verification.h */
};

enum load_outcome {
	LOAD_DONE,
	LOAD_REFUSED, /* the document is wrong; nothing changed */
	LOAD_FAILED,  /* not its fault: err; nothing changed */
};

struct load_result {
	enum load_outcome outcome;
	uint64_t revision;
	/* All borrowed until the callback returns. */
	const json_t *entities; /* DONE: {"services":{"<id>":{...}}} */
	const json_t *fault;	/* REFUSED: Kong's code 14 */
	const char *lines;	/* REFUSED: the same to be read, several lines */
	struct err err;		/* FAILED */
};
typedef void (*load_done)(const struct load_result *r, void *arg);

/* done comes once, later. ERR_UNAVAILABLE: another document is being loaded. ERR_INVALID: the store
 * has a database. */
int store_load(struct store *s, const struct load_request *q, load_done done, void *arg,
	       struct err *e) must_check;
/* MD5 of the text that was loaded last (of a tree: of its rows), in hexadecimal; zeros before the
 * first. NULL: the store has a database. */
const char *store_configuration_hash(const struct store *s);
/* The hash that a text would have. */
int load_hash(char out[LOAD_HASH_SIZE], struct str text, struct err *e) must_check;
/* All entities as a declarative document (YAML), appended. ERR_INVALID: the store has a database.
 */
int store_export(const struct store *s, struct buf *out, struct err *e) must_check;

#endif
