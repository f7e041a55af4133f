/* What the storages behind an HTTP API (Consul, Vault) have in common: address, TLS, a token, and
 * one exchange at a time. owner: the storage, thread: the loop. */
#ifndef CARDEA_ACME_STORAGE_HTTP_H
#define CARDEA_ACME_STORAGE_HTTP_H

#include "control-plane/acme/fetch.h"
#include "control-plane/acme/storage_internal.h"

struct storage_http {
	struct storage base; /* first: what a kind frees begins with it */
	struct fetcher *fetcher;
	struct fetch *fetch;		 /* under way; NULL: none */
	char *origin;			 /* "https://host:port" */
	char *path;			 /* of kv_path, without slashes at its ends */
	const char *header;		 /* that has the token: "X-Vault-Token" */
	struct buf token;		 /* secret; empty: none */
	void (*free)(struct storage *s); /* the kind's own part, and s */
};

struct storage_http_kind {
	const char *name; /* of its record, and in texts */
	uint16_t port;
	const char *header;
	bool verify; /* it has tls_verify and tls_server_name */
	const struct storage_ops *ops;
};
/* Sets h up, which is zeroed; on failure nothing of it is left but h itself. */
int storage_http_init(struct storage_http *h, struct loop *l, const struct storage_http_kind *k,
		      const json_t *config, const struct storage_limits *limits,
		      struct err *e) must_check;
/* ops.close: closes all, then storage_deinit with h->free. */
void storage_http_close(struct storage *s);
/* ops.cancel */
void storage_http_cancel(struct storage *s);
/* Frees what init made, after the fetcher is closed. */
void storage_http_deinit(struct storage_http *h);

/* Appends a part of a path, percent-encoded; in a key "/" becomes "-", as Kong's libraries have it.
 */
int storage_http_add(struct buf *url, struct str text, bool key, struct err *e) must_check;
/* Asks; done gets what came, or the call fails: an answer of any status is given on. Fails the call
 * under way by itself. done's arg is h. */
void storage_http_ask(struct storage_http *h, enum fetch_method method, const struct buf *url,
		      struct str body, fetch_done done);
/* -1 with what an answer means that is not 200, 204 or 404 (403: ERR_DENIED, 429 and 5xx:
 * ERR_UNAVAILABLE), or err. */
int storage_http_fine(const struct fetch_reply *r, struct err *e) must_check;
/* The document of an answer. NULL: none; ERR_INVALID. */
json_t *storage_http_json(const struct fetch_reply *r, struct err *e);

#endif
