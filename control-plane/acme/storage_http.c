#include "control-plane/acme/storage_http.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

enum { LIST_MAX = 16 << 20, TIMEOUT_MS = 2000 }; /* bytes of an answer that lists keys */

/* --- settings --- */

struct address {
	const char *host, *name; /* name NULL: the host's */
	int64_t port, timeout_ms;
	bool tls, verify;
};

static int read_address(struct address *a, const struct storage_http_kind *k, const json_t *c,
			struct err *e)
{
	a->verify = true;
	a->name = NULL;
	if (storage_conf_text(c, k->name, "host", "127.0.0.1", &a->host, e) != 0 ||
	    storage_conf_number(c, k->name, "port", k->port, UINT16_MAX, &a->port, e) != 0 ||
	    storage_conf_number(c, k->name, "timeout", TIMEOUT_MS, INT32_MAX, &a->timeout_ms, e) !=
		    0 ||
	    storage_conf_switch(c, k->name, "https", false, &a->tls, e) != 0)
		return -1;
	if (k->verify && (storage_conf_switch(c, k->name, "tls_verify", true, &a->verify, e) != 0 ||
			  storage_conf_text(c, k->name, "tls_server_name", NULL, &a->name, e) != 0))
		return -1;
	if (!a->timeout_ms)
		a->timeout_ms = TIMEOUT_MS;
	if (strlen(a->host) > 255 || (a->name && strlen(a->name) > 255) || a->port == 0)
		return err_set(e, ERR_INVALID, "storage_config.%s: host or port is none", k->name);
	return 0;
}

/* A name as it stands in an URL. */
static const char *bracket(const char *host, const char *which)
{
	return strchr(host, ':') && host[0] != '[' ? which : "";
}

static int make_fetcher(struct storage_http *h, struct loop *l, const struct address *a,
			const struct storage_limits *limits, struct err *e)
{
	const char *name = a->tls && a->name ? a->name : a->host;
	struct buf origin = BUF_INIT, other = BUF_INIT;
	struct fetcher_conf c = {
		.ca_file = limits->ca_file,
		.own = true,
		.allow_private = true,
		.insecure = !a->verify,
		.secret = true,
		.connect_timeout_ms = (uint64_t)a->timeout_ms,
		.timeout_ms = (uint64_t)a->timeout_ms,
		/* Base64 and escapes make a value longer. */
		.body_max = limits->value_max * 2 > LIST_MAX ? limits->value_max * 2 : LIST_MAX,
	};
	int rc = buf_addf(&origin, e, "%s://%s%s%s:%lld", a->tls ? "https" : "http",
			  bracket(name, "["), name, bracket(name, "]"), (long long)a->port);

	if (rc == 0 && name != a->host) {
		rc = buf_addf(&other, e, "%s:%lld:%s%s%s:%lld", name, (long long)a->port,
			      bracket(a->host, "["), a->host, bracket(a->host, "]"),
			      (long long)a->port);
		c.connect_to = other.data;
	}
	if (rc == 0)
		rc = fetcher_create(&h->fetcher, l, &c, e);
	buf_deinit(&other);
	h->origin = origin.data;
	return rc;
}

/* Without slashes at its ends, and "." and ".." are none of its parts. */
static int read_path(struct storage_http *h, const struct storage_http_kind *k, const json_t *c,
		     struct err *e)
{
	const char *text = NULL;
	struct str path, rest, part;

	if (storage_conf_text(c, k->name, "kv_path", "/acme", &text, e) != 0)
		return -1;
	path = str_from(text);
	while (path.len > 0 && path.ptr[0] == '/')
		path = str_sub(path, 1, path.len);
	while (path.len > 0 && path.ptr[path.len - 1] == '/')
		path = str_sub(path, 0, path.len - 1);
	rest = path;
	while (str_split(&rest, '/', &part))
		if (part.len == 0 || str_eq(part, STR(".")) || str_eq(part, STR("..")))
			return err_set(e, ERR_INVALID, "storage_config.%s.kv_path is no path",
				       k->name);
	if (path.len == 0 || path.len > 255)
		return err_set(e, ERR_INVALID, "storage_config.%s.kv_path is no path", k->name);
	h->path = str_dup(path);
	return h->path ? 0 : err_memory(e, "storage");
}

static int read_token(struct storage_http *h, const struct storage_http_kind *k, const json_t *c,
		      struct err *e)
{
	const char *token = NULL;

	if (storage_conf_text(c, k->name, "token", NULL, &token, e) != 0)
		return -1;
	for (const char *t = token; t && *t; t++)
		if (!isgraph((unsigned char)*t))
			return err_set(e, ERR_INVALID,
				       "storage_config.%s.token has characters that no token has",
				       k->name);
	return token ? buf_add_str(&h->token, str_from(token), e) : 0;
}

void storage_http_deinit(struct storage_http *h)
{
	buf_deinit(&h->token);
	free(h->origin);
	free(h->path);
	h->origin = h->path = NULL;
}

int storage_http_init(struct storage_http *h, struct loop *l, const struct storage_http_kind *k,
		      const json_t *config, const struct storage_limits *limits, struct err *e)
{
	struct address a;

	h->token.secret = true;
	h->header = k->header;
	if (read_address(&a, k, config, e) != 0 || read_path(h, k, config, e) != 0 ||
	    read_token(h, k, config, e) != 0 || make_fetcher(h, l, &a, limits, e) != 0) {
		storage_http_deinit(h);
		return -1;
	}
	/* The exchange has a time limit of its own, which tells more. */
	storage_init(&h->base, k->ops, l, limits, (uint64_t)a.timeout_ms * 3);
	snprintf(h->base.text, sizeof(h->base.text), "%s %.60s/%.40s", k->name, h->origin, h->path);
	return 0;
}

/* --- life --- */

void storage_http_cancel(struct storage *s)
{
	struct storage_http *h = container_of(s, struct storage_http, base);

	fetch_cancel(h->fetch);
	h->fetch = NULL;
}

static void on_fetcher_closed(void *arg)
{
	struct storage_http *h = arg;

	storage_deinit(&h->base, h->free);
}

void storage_http_close(struct storage *s)
{
	struct storage_http *h = container_of(s, struct storage_http, base);

	h->fetch = NULL; /* closing cancels it */
	fetcher_close(h->fetcher, on_fetcher_closed, h);
}

/* --- exchanges --- */

int storage_http_add(struct buf *url, struct str text, bool key, struct err *e)
{
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];
		int rc;

		if (key && c == '/')
			c = '-';
		if (isalnum(c) || (c != 0 && strchr("-_.~:", c)) || (!key && c == '/'))
			rc = buf_add(url, &c, 1, e);
		else
			rc = buf_addf(url, e, "%%%02X", c);
		if (rc != 0)
			return -1;
	}
	return 0;
}

void storage_http_ask(struct storage_http *h, enum fetch_method method, const struct buf *url,
		      struct str body, fetch_done done)
{
	struct buf line = {.secret = true};
	struct fetch_request q = {
		.method = method,
		.url = url->data,
		.body = body,
		.content_type = "application/json",
	};
	struct err e = ERR_INIT;
	int rc = 0;

	if (h->token.len > 0)
		rc = buf_addf(&line, &e, "%s: %s", h->header, h->token.data);
	q.line = line.data;
	if (rc == 0)
		rc = fetch_start(&h->fetch, h->fetcher, &q, done, h, &e);
	buf_deinit(&line);
	if (rc == 0)
		return;
	h->fetch = NULL;
	storage_fail(&h->base, &e);
}

int storage_http_fine(const struct fetch_reply *r, struct err *e)
{
	if (r->err.kind != ERR_NONE) {
		*e = r->err;
		return -1;
	}
	if (r->status == 200 || r->status == 204 || r->status == 404)
		return 0;
	if (r->status == 401 || r->status == 403)
		return err_set(e, ERR_DENIED,
			       "status %u: the token is not known, or may not do this", r->status);
	if (r->status == 429 || r->status >= 500)
		return err_set(e, ERR_UNAVAILABLE, "status %u: the server cannot answer now%s",
			       r->status, r->status == 503 ? " (sealed?)" : "");
	return err_set(e, ERR_INVALID, "status %u: the server does not take this", r->status);
}

json_t *storage_http_json(const struct fetch_reply *r, struct err *e)
{
	json_error_t why;
	json_t *doc = json_loadb(r->body.ptr, r->body.len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES,
				 &why);

	if (!doc)
		err_set(e, ERR_INVALID, "the answer is no JSON: line %d", why.line);
	return doc;
}
