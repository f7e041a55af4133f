/* Vault's KV version 2 (OpenBao's is the same): kv_path is the mount and what comes behind it. A
 * value is {"value": ..., "note": ...} in MOUNT/data/REST/KEY; a time to live is the key's
 * delete_version_after.
 *
 *    a call --> (kubernetes, no token) READING the JWT --> LOGIN --> (set with a time) TTL --> CALL
 *                                                            ^                                  |
 *                                                            `--(403: once, with kubernetes)----'
 *
 * Failure paths: whatever fails ends the call; a token that came by a login is forgotten when it
 * is not taken or its lease is over. What is sent as JWT has the form of one: a path that names
 * another file does not give its content away.
 */
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/core/clock.h"
#include "control-plane/acme/storage_http.h"

enum { PORT = 8200, JWT_MAX = 16 << 10, LEASE_MARGIN_S = 10 };
static const char what[] = "vault";
static const char jwt_default[] = "/var/run/secrets/kubernetes.io/serviceaccount/token";

struct vault {
	struct storage_http http; /* first */
	struct str mount, rest;	  /* of http.path */
	bool kubernetes;
	char *auth_path, *role, *jwt_path;
	struct work work; /* reads the JWT */
	bool reading, closing;
	bool logged_in; /* by the call under way */
	uint64_t token_until_ns;
	struct buf jwt; /* secret */
	struct err jwt_err;
};

static struct vault *vault_of(struct storage *s)
{
	return container_of(s, struct vault, http.base);
}

static void fail(struct vault *v, const struct err *e)
{
	storage_fail(&v->http.base, e);
}

/* --- addresses --- */

/* folder: "data" or "metadata". */
static int add_path(struct vault *v, const char *folder, struct str key, struct buf *url,
		    struct err *e)
{
	if (buf_addf(url, e, "%s/v1/", v->http.origin) != 0 ||
	    storage_http_add(url, v->mount, false, e) != 0 || buf_addf(url, e, "/%s", folder) != 0)
		return -1;
	if (v->rest.len > 0 &&
	    (buf_add(url, "/", 1, e) != 0 || storage_http_add(url, v->rest, false, e) != 0))
		return -1;
	return buf_add(url, "/", 1, e) != 0 ? -1 : storage_http_add(url, key, true, e);
}

/* --- the call --- */

static int take_value(struct vault *v, const json_t *data, struct err *e)
{
	const json_t *value = json_object_get(json_object_get(data, "data"), "value");

	if (!value || json_is_null(value))
		return 0;
	if (!json_is_string(value))
		return err_set(e, ERR_INVALID, "the key's value is no text");
	return storage_take_value(&v->http.base,
				  (struct str){json_string_value(value), json_string_length(value)},
				  e);
}

static int take_keys(struct vault *v, const json_t *data, struct err *e)
{
	const json_t *keys = json_object_get(data, "keys"), *key;
	size_t i;

	if (!json_is_array(keys))
		return err_set(e, ERR_INVALID, "this is no answer of Vault");
	json_array_foreach(keys, i, key)
	{
		if (storage_take_key(&v->http.base,
				     (struct str){json_string_value(key), json_string_length(key)},
				     e) != 0)
			return -1;
	}
	return 0;
}

static int take(struct vault *v, const struct fetch_reply *r, struct err *e)
{
	enum storage_verb verb = storage_current(&v->http.base)->verb;
	const json_t *data;
	json_t *doc;
	int rc = storage_http_fine(r, e);

	if (rc != 0 || verb == STORAGE_DELETE || (r->status == 404 && verb != STORAGE_SET))
		return rc;
	if (verb == STORAGE_SET)
		return r->status != 404 ? 0
					: err_set(e, ERR_INVALID,
						  "there is no KV version 2 at the mount %.*s",
						  (int)v->mount.len, v->mount.ptr);
	doc = storage_http_json(r, e);
	if (!doc)
		return -1;
	data = json_object_get(doc, "data");
	if (!json_is_object(data))
		rc = err_set(e, ERR_INVALID, "this is no answer of Vault");
	else
		rc = verb == STORAGE_GET ? take_value(v, data, e) : take_keys(v, data, e);
	json_decref(doc);
	return rc;
}

static void login(struct vault *v);

static void on_called(const struct fetch_reply *r, void *arg)
{
	struct storage_http *h = arg;
	struct vault *v = vault_of(&h->base);
	struct err e = ERR_INIT;

	h->fetch = NULL;
	if (r->err.kind == ERR_NONE && r->status == 403 && v->kubernetes && !v->logged_in)
		login(v);
	else if (take(v, r, &e) == 0)
		storage_end(&h->base);
	else
		fail(v, &e);
}

static int build_body(const struct storage_call *c, struct buf *body, struct err *e)
{
	json_t *value = json_stringn((const char *)buf_str(&c->value).ptr, c->value.len);
	json_t *doc = json_pack("{s:{s:o, s:s}}", "data", "value", value, "note",
				"managed by lua-resty-acme");
	char *text = doc ? json_dumps(doc, JSON_COMPACT) : NULL;
	int rc = text ? buf_add_str(body, str_from(text), e)
		      : err_set(e, ERR_INVALID, "the value is no UTF-8 text");

	if (text)
		OPENSSL_cleanse(text, strlen(text));
	free(text);
	json_decref(doc);
	return rc;
}

static void call(struct vault *v)
{
	static const struct {
		const char *folder;
		enum fetch_method method;
	} verbs[] = {
		[STORAGE_GET] = {"data", FETCH_GET},
		[STORAGE_SET] = {"data", FETCH_POST},
		[STORAGE_DELETE] = {"metadata", FETCH_DELETE},
		[STORAGE_LIST] = {"metadata", FETCH_GET},
	};
	const struct storage_call *c = storage_current(&v->http.base);
	struct buf url = BUF_INIT, body = {.secret = true};
	struct err e = ERR_INIT;
	bool list = c->verb == STORAGE_LIST;
	int rc = add_path(v, verbs[c->verb].folder, list ? STR_NONE : buf_str(&c->key), &url, &e);

	if (rc == 0 && list)
		rc = buf_add_str(&url, STR("?list=true"), &e);
	if (rc == 0 && c->verb == STORAGE_SET)
		rc = build_body(c, &body, &e);
	if (rc == 0)
		storage_http_ask(&v->http, verbs[c->verb].method, &url, buf_str(&body), on_called);
	else
		fail(v, &e);
	buf_deinit(&url);
	buf_deinit(&body);
}

static void on_ttl(const struct fetch_reply *r, void *arg)
{
	struct storage_http *h = arg;
	struct vault *v = vault_of(&h->base);
	struct err e = ERR_INIT;

	h->fetch = NULL;
	if (r->err.kind == ERR_NONE && r->status == 403 && v->kubernetes && !v->logged_in)
		login(v);
	else if (storage_http_fine(r, &e) == 0)
		call(v);
	else
		fail(v, &e);
}

static void set_ttl(struct vault *v, const struct storage_call *c)
{
	struct buf url = BUF_INIT, body = BUF_INIT;
	struct err e = ERR_INIT;

	if (add_path(v, "metadata", buf_str(&c->key), &url, &e) == 0 &&
	    buf_addf(&body, &e, "{\"delete_version_after\":\"%llums\"}",
		     (unsigned long long)c->ttl_ms) == 0)
		storage_http_ask(&v->http, FETCH_POST, &url, buf_str(&body), on_ttl);
	else
		fail(v, &e);
	buf_deinit(&url);
	buf_deinit(&body);
}

static void go_on(struct vault *v)
{
	const struct storage_call *c = storage_current(&v->http.base);

	if (c->verb == STORAGE_SET && c->ttl_ms > 0)
		set_ttl(v, c);
	else
		call(v);
}

/* --- login --- */

static bool is_token(const char *text)
{
	for (const char *t = text; t && *t; t++)
		if (*t <= ' ' || *t > '~')
			return false;
	return text && text[0];
}

static int take_token(struct vault *v, const struct fetch_reply *r, struct err *e)
{
	const json_t *auth;
	const char *token;
	json_int_t lease;
	json_t *doc;
	int rc = storage_http_fine(r, e);

	if (rc == 0 && r->status != 200)
		rc = err_set(e, ERR_DENIED, "no such login: storage_config.vault.auth_path");
	doc = rc == 0 ? storage_http_json(r, e) : NULL;
	if (!doc)
		return err_prefix(e, "kubernetes login");
	auth = json_object_get(doc, "auth");
	token = json_string_value(json_object_get(auth, "client_token"));
	lease = json_integer_value(json_object_get(auth, "lease_duration"));
	buf_clear(&v->http.token);
	if (!is_token(token))
		rc = err_set(e, ERR_INVALID, "kubernetes login: the answer has no token");
	else
		rc = buf_add_str(&v->http.token, str_from(token), e);
	v->token_until_ns = UINT64_MAX;
	if (lease > 0 && lease < INT32_MAX)
		v->token_until_ns = clock_mono_ns() + (uint64_t)(lease > 2 * LEASE_MARGIN_S
									 ? lease - LEASE_MARGIN_S
									 : lease / 2) *
							      1000000000;
	json_decref(doc);
	return rc;
}

static void on_login(const struct fetch_reply *r, void *arg)
{
	struct storage_http *h = arg;
	struct vault *v = vault_of(&h->base);
	struct err e = ERR_INIT;

	h->fetch = NULL;
	v->logged_in = true;
	if (take_token(v, r, &e) != 0) {
		fail(v, &e);
		return;
	}
	storage_alive(&h->base);
	go_on(v);
}

static void post_login(struct vault *v)
{
	json_t *doc = json_pack("{s:s*, s:s%}", "role", v->role, "jwt", v->jwt.data, v->jwt.len);
	char *text = doc ? json_dumps(doc, JSON_COMPACT) : NULL;
	struct buf url = BUF_INIT, body = {.secret = true};
	struct err e = ERR_INIT;
	int rc = text ? buf_add_str(&body, str_from(text), &e) : err_memory(&e, "login");

	if (text)
		OPENSSL_cleanse(text, strlen(text));
	free(text);
	json_decref(doc);
	if (rc == 0)
		rc = buf_addf(&url, &e, "%s/v1/auth/", v->http.origin);
	if (rc == 0)
		rc = storage_http_add(&url, str_from(v->auth_path), false, &e);
	if (rc == 0)
		rc = buf_add_str(&url, STR("/login"), &e);
	buf_clear(&v->http.token);
	if (rc == 0)
		storage_http_ask(&v->http, FETCH_POST, &url, buf_str(&body), on_login);
	else
		fail(v, &e);
	buf_deinit(&url);
	buf_deinit(&body);
}

/* Three parts of base64url. */
static bool is_jwt(struct str text)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	struct str rest = text, part;
	unsigned parts = 0;

	while (str_split(&rest, '.', &part)) {
		parts++;
		if (part.len == 0)
			return false;
		for (size_t i = 0; i < part.len; i++)
			if (!memchr(letters, part.ptr[i], sizeof(letters) - 1))
				return false;
	}
	return parts == 3;
}

/* Thread: pool; the vault waits and is not touched meanwhile. */
static void read_jwt(struct work *w)
{
	struct vault *v = container_of(w, struct vault, work);
	char bytes[4096];
	FILE *f = fopen(v->jwt_path, "rbe");
	size_t n;

	err_clear(&v->jwt_err);
	buf_clear(&v->jwt);
	if (!f) {
		err_errno(&v->jwt_err, ERR_DENIED, errno, "storage_config.vault.jwt_path %.200s",
			  v->jwt_path);
		return;
	}
	setvbuf(f, NULL, _IONBF, 0);
	while ((n = fread(bytes, 1, sizeof(bytes), f)) > 0)
		if (buf_add(&v->jwt, bytes, n, &v->jwt_err) != 0)
			break;
	OPENSSL_cleanse(bytes, sizeof(bytes));
	fclose(f);
	while (v->jwt.len > 0 && strchr(" \t\r\n", v->jwt.data[v->jwt.len - 1]))
		v->jwt.data[--v->jwt.len] = '\0';
	if (v->jwt_err.kind == ERR_NONE && !is_jwt(buf_str(&v->jwt)))
		err_set(&v->jwt_err, ERR_DENIED,
			"%.200s holds no JWT: storage_config.vault.jwt_path", v->jwt_path);
	if (v->jwt_err.kind != ERR_NONE)
		buf_clear(&v->jwt);
}

static void on_jwt(struct work *w)
{
	struct vault *v = container_of(w, struct vault, work);

	v->reading = false;
	if (v->closing)
		storage_http_close(&v->http.base);
	else if (!v->http.base.busy || v->http.base.ended)
		return; /* given up meanwhile */
	else if (v->jwt_err.kind != ERR_NONE)
		fail(v, &v->jwt_err);
	else
		post_login(v);
}

static void login(struct vault *v)
{
	struct err e = ERR_INIT;

	if (v->reading)
		return; /* of a call that was given up */
	if (work_start(&v->work, v->http.base.loop, read_jwt, on_jwt, &e) == 0)
		v->reading = true;
	else
		fail(v, &e);
}

/* --- life --- */

static void begin(struct storage *s, const struct storage_call *c)
{
	struct vault *v = vault_of(s);

	(void)c;
	v->logged_in = false;
	if (v->kubernetes && (v->http.token.len == 0 || clock_mono_ns() >= v->token_until_ns))
		login(v);
	else
		go_on(v);
}

static void close_vault(struct storage *s)
{
	struct vault *v = vault_of(s);

	v->closing = true;
	if (!v->reading)
		storage_http_close(s);
}

static const struct storage_ops ops = {
	.begin = begin, .cancel = storage_http_cancel, .close = close_vault};

static void free_vault(struct storage *s)
{
	struct vault *v = vault_of(s);

	storage_http_deinit(&v->http);
	buf_deinit(&v->jwt);
	free(v->auth_path);
	free(v->role);
	free(v->jwt_path);
	free(v);
}

static int read_auth(struct vault *v, const json_t *c, struct err *e)
{
	const char *method, *path, *role, *jwt;

	if (storage_conf_text(c, what, "auth_method", "token", &method, e) != 0 ||
	    storage_conf_text(c, what, "auth_path", "kubernetes", &path, e) != 0 ||
	    storage_conf_text(c, what, "auth_role", NULL, &role, e) != 0 ||
	    storage_conf_text(c, what, "jwt_path", jwt_default, &jwt, e) != 0)
		return -1;
	v->kubernetes = str_eq(str_from(method), STR("kubernetes"));
	if (!v->kubernetes && !str_eq(str_from(method), STR("token")))
		return err_set(e, ERR_INVALID,
			       "storage_config.vault.auth_method must be token or kubernetes");
	if (v->kubernetes && !role)
		return err_set(e, ERR_INVALID, "storage_config.vault.auth_role is missing");
	v->auth_path = str_dup(str_from(path));
	v->role = role ? str_dup(str_from(role)) : NULL;
	v->jwt_path = str_dup(str_from(jwt));
	return v->auth_path && (!role || v->role) && v->jwt_path ? 0
								 : err_memory(e, "vault storage");
}

int storage_vault_open(struct storage **out, struct loop *l, const json_t *config,
		       const struct storage_limits *limits, struct err *e)
{
	static const struct storage_http_kind kind = {.name = "vault",
						      .port = PORT,
						      .header = "X-Vault-Token",
						      .verify = true,
						      .ops = &ops};
	struct vault *v = calloc(1, sizeof(*v));
	size_t slash;

	if (!v)
		return err_memory(e, "vault storage");
	v->jwt.secret = true;
	v->jwt.limit = JWT_MAX;
	/* Before what has to be closed. */
	if (read_auth(v, config, e) != 0 ||
	    storage_http_init(&v->http, l, &kind, config, limits, e) != 0) {
		free_vault(&v->http.base);
		return -1;
	}
	v->http.free = free_vault;
	slash = str_find(str_from(v->http.path), '/', 0);
	v->mount = str_sub(str_from(v->http.path), 0, slash);
	v->rest = str_sub(str_from(v->http.path), slash + 1, strlen(v->http.path));
	*out = &v->http.base;
	return 0;
}
