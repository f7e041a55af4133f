/* Redis: one connection, kept; one command at a time.
 *
 *    DOWN --(a call)--> CONNECTING --(open)--> GREETING --(AUTH, SELECT are fine)--> READY
 *      ^                                                                              |
 *      `-------------------(the connection ends, a call is out of time)---------------'
 *
 * Happy path: the call waits until READY, its command goes out, its reply ends it; a list asks
 * again with the cursor of the reply before until that is 0. Failure paths: whatever ends the
 * connection fails the call under way, and the next one connects again. What a server says beyond
 * the first word of an error is not told: it may repeat what was sent to it, keys and passwords.
 * The timeout is the plugin's, which Kong itself ignores.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/core/sm.h"
#include "common/net/conn.h"
#include "common/net/tls.h"
#include "control-plane/acme/resp.h"
#include "control-plane/acme/storage_internal.h"

enum { PORT = 6379, SCAN_COUNT = 10, SCAN_COUNT_MAX = 10000, CURSOR_SIZE = 24 };
enum { SLACK = 64 << 10, LIST_MAX = 8 << 20 }; /* bytes of a reply: beside a value; of a list */

enum redis_state { REDIS_DOWN, REDIS_CONNECTING, REDIS_GREETING, REDIS_READY, REDIS_STATES };
static const struct sm_state states[] = {
	[REDIS_DOWN] = {"down", SM_TO(REDIS_CONNECTING)},
	[REDIS_CONNECTING] = {"connecting",
			      SM_TO(REDIS_GREETING) | SM_TO(REDIS_READY) | SM_TO(REDIS_DOWN)},
	[REDIS_GREETING] = {"greeting", SM_TO(REDIS_READY) | SM_TO(REDIS_DOWN)},
	[REDIS_READY] = {"ready", SM_TO(REDIS_DOWN)},
};
static const struct sm redis_sm = {"redis", states, array_len(states)};
static_assert(array_len(states) == REDIS_STATES, "one row per state");

struct redis {
	struct storage base;
	enum redis_state state;
	struct conn *conn;   /* NULL: none */
	unsigned conns_open; /* with those that were given up and have not said closed */
	SSL_CTX *tls;	     /* NULL: plain */
	char *host, *server_name, *username, *namespace;
	struct buf password; /* secret */
	uint16_t port;
	int64_t database, scan_count;
	unsigned greetings; /* replies that still have to come */
	char cursor[CURSOR_SIZE];
	struct buf in, out; /* secret */
	bool closing;
};

static struct redis *redis_of(struct storage *s)
{
	return container_of(s, struct redis, base);
}

static void redis_move(struct redis *r, enum redis_state to)
{
	r->state = (enum redis_state)sm_move(&redis_sm, r->state, to, r->base.text);
}

/* --- the end of a connection --- */

static void free_redis(struct storage *s)
{
	struct redis *r = redis_of(s);

	SSL_CTX_free(r->tls);
	buf_deinit(&r->password);
	buf_deinit(&r->in);
	buf_deinit(&r->out);
	free(r->host);
	free(r->server_name);
	free(r->username);
	free(r->namespace);
	free(r);
}

static void drop(struct redis *r)
{
	struct conn *c = r->conn;

	r->conn = NULL;
	buf_clear(&r->in);
	if (r->state != REDIS_DOWN)
		redis_move(r, REDIS_DOWN);
	if (c)
		conn_close(c);
}

static void fail(struct redis *r, const struct err *e)
{
	storage_fail(&r->base, e);
	drop(r);
}

static void on_close(struct conn *c, const struct err *why, void *arg)
{
	struct redis *r = arg;
	struct err e = *why;

	r->conns_open--;
	if (c == r->conn) {
		r->conn = NULL;
		if (e.kind == ERR_NONE)
			err_set(&e, ERR_UNAVAILABLE, "the server ended the connection");
		fail(r, &e);
	}
	if (r->closing && r->conns_open == 0)
		storage_deinit(&r->base, free_redis);
}

/* --- commands --- */

static int add_command(struct redis *r, const struct str *words, size_t n, struct err *e)
{
	return resp_command(&r->out, words, n, e);
}

static void flush(struct redis *r)
{
	conn_write(r->conn, buf_str(&r->out));
	buf_clear(&r->out);
}

/* Appends text so that MATCH takes it as it is. */
static int add_literal(struct buf *out, struct str text, struct err *e)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		if ((strchr("\\*?[]^-", c) && c && buf_add(out, "\\", 1, e) != 0) ||
		    buf_add(out, &c, 1, e) != 0)
			return -1;
	}
	return 0;
}

static int add_scan(struct redis *r, const struct storage_call *c, struct err *e)
{
	struct buf match = BUF_INIT;
	char count[CURSOR_SIZE];
	int rc = add_literal(&match, str_from(r->namespace), e);

	snprintf(count, sizeof(count), "%lld", (long long)r->scan_count);
	if (rc == 0)
		rc = add_literal(&match, buf_str(&c->key), e);
	if (rc == 0)
		rc = buf_add(&match, "*", 1, e);
	if (rc == 0) {
		const struct str words[] = {STR("SCAN"),     str_from(r->cursor), STR("MATCH"),
					    buf_str(&match), STR("COUNT"),	  str_from(count)};

		rc = add_command(r, words, array_len(words), e);
	}
	buf_deinit(&match);
	return rc;
}

static int add_call(struct redis *r, const struct storage_call *c, struct err *e)
{
	struct buf key = BUF_INIT;
	char ms[CURSOR_SIZE];
	int rc = buf_addf(&key, e, "%s", r->namespace);

	if (rc == 0)
		rc = buf_add_str(&key, buf_str(&c->key), e);
	snprintf(ms, sizeof(ms), "%llu", (unsigned long long)c->ttl_ms);
	if (rc == 0 && c->verb == STORAGE_LIST) {
		rc = add_scan(r, c, e);
	} else if (rc == 0) {
		const struct str get[] = {STR("GET"), buf_str(&key)};
		const struct str del[] = {STR("DEL"), buf_str(&key)};
		const struct str set[] = {STR("SET"), buf_str(&key), buf_str(&c->value), STR("PX"),
					  str_from(ms)};

		if (c->verb == STORAGE_GET)
			rc = add_command(r, get, array_len(get), e);
		else if (c->verb == STORAGE_DELETE)
			rc = add_command(r, del, array_len(del), e);
		else
			rc = add_command(r, set, c->ttl_ms ? array_len(set) : 3, e);
	}
	buf_deinit(&key);
	return rc;
}

static void send_call(struct redis *r)
{
	struct err e = ERR_INIT;

	if (add_call(r, storage_current(&r->base), &e) == 0)
		flush(r);
	else
		fail(r, &e);
}

/* --- replies --- */

static int refused(const struct redis *r, struct str text, struct err *e)
{
	static const struct {
		const char *word;
		enum err_kind kind;
		const char *advice;
	} rows[] = {
		{"NOAUTH", ERR_DENIED, "it wants storage_config.redis.password"},
		{"WRONGPASS", ERR_DENIED, "username or password is wrong"},
		{"NOPERM", ERR_DENIED, "its ACL does not allow this user to do so"},
		{"LOADING", ERR_UNAVAILABLE, "it still loads its data"},
		{"BUSY", ERR_UNAVAILABLE, "it runs a script"},
		{"MASTERDOWN", ERR_UNAVAILABLE, "its master cannot be reached"},
		{"READONLY", ERR_UNAVAILABLE, "it is a replica: the master is wanted"},
		{"OOM", ERR_UNAVAILABLE, "its memory is full"},
		{"WRONGTYPE", ERR_INVALID, "this key holds something else than a text"},
		{"MOVED", ERR_INVALID, "it is a cluster: a single server is wanted"},
		{"CLUSTERDOWN", ERR_INVALID, "it is a cluster: a single server is wanted"},
	};
	struct str word = str_sub(text, 0, str_find(text, ' ', 0));

	for (size_t i = 0; i < array_len(rows); i++)
		if (str_eq(word, str_from(rows[i].word)))
			return err_set(e, rows[i].kind, "the server says %s: %s", rows[i].word,
				       rows[i].advice);
	if (r->state == REDIS_GREETING)
		return err_set(e, ERR_DENIED,
			       "the server refuses AUTH or SELECT: is username, password or "
			       "database wrong?");
	return err_set(e, ERR_INVALID, "the server refuses the command");
}

/* A key of ours comes without the namespace. */
static int take_keys(struct redis *r, struct str rest, struct err *e)
{
	struct str space = str_from(r->namespace);
	struct resp item;

	while (resp_next(&rest, &item))
		if (item.kind == RESP_TEXT && str_starts(item.text, space) &&
		    storage_take_key(&r->base, str_sub(item.text, space.len, item.text.len), e) !=
			    0)
			return -1;
	return 0;
}

/* [cursor, [key, ...]]; asks for more. */
static int take_page(struct redis *r, const struct resp *p, struct err *e)
{
	struct str rest = p->text;
	struct resp cursor, keys;

	if (p->kind != RESP_LIST || p->items != 2 || !resp_next(&rest, &cursor) ||
	    cursor.kind != RESP_TEXT || cursor.text.len >= sizeof(r->cursor) ||
	    !resp_next(&rest, &keys) || keys.kind != RESP_LIST)
		return err_set(e, ERR_INVALID, "this is no answer to SCAN");
	snprintf(r->cursor, sizeof(r->cursor), "%.*s", (int)cursor.text.len, cursor.text.ptr);
	if (take_keys(r, keys.text, e) != 0)
		return -1;
	if (str_eq(cursor.text, STR("0"))) {
		storage_end(&r->base);
		return 0;
	}
	storage_alive(&r->base);
	send_call(r);
	return 0;
}

static int take_answer(struct redis *r, const struct resp *p, struct err *e)
{
	const struct storage_call *c = storage_current(&r->base);

	if (c->verb == STORAGE_LIST)
		return take_page(r, p, e);
	if (c->verb == STORAGE_GET && p->kind != RESP_TEXT && p->kind != RESP_NULL)
		return err_set(e, ERR_INVALID, "this is no answer to GET");
	if (c->verb == STORAGE_GET && p->kind == RESP_TEXT &&
	    storage_take_value(&r->base, p->text, e) != 0)
		return -1;
	storage_end(&r->base);
	return 0;
}

/* -1: the connection is of no use any more. */
static int take_reply(struct redis *r, const struct resp *p, struct err *e)
{
	struct err why = ERR_INIT;

	if (!r->base.busy || r->base.ended)
		return err_set(e, ERR_INVALID, "an answer that nobody asked for");
	if (p->kind == RESP_ERROR) {
		refused(r, p->text, &why);
		if (r->state == REDIS_GREETING || why.kind == ERR_DENIED) {
			*e = why;
			return -1;
		}
		storage_fail(&r->base, &why);
		return 0;
	}
	if (r->state == REDIS_READY)
		return take_answer(r, p, e);
	if (--r->greetings == 0) {
		redis_move(r, REDIS_READY);
		send_call(r);
	}
	return 0;
}

static size_t text_max(const struct redis *r)
{
	return r->base.value_max > STORAGE_KEY_MAX ? r->base.value_max : STORAGE_KEY_MAX;
}

static void on_data(struct conn *c, struct str bytes, void *arg)
{
	struct redis *r = arg;
	struct err e = ERR_INIT;
	struct resp p;
	size_t used = 0;

	if (c != r->conn)
		return;
	if (buf_add_str(&r->in, bytes, &e) != 0) {
		fail(r, &e);
		return;
	}
	do {
		if (resp_read(buf_str(&r->in), text_max(r), &p, &used, &e) != 0 ||
		    (used > 0 && take_reply(r, &p, &e) != 0)) {
			fail(r, &e);
			return;
		}
		/* A call that failed while it was read has taken the connection with it. */
		if (c != r->conn)
			return;
		buf_consume(&r->in, used);
	} while (used > 0);
}

/* --- connecting --- */

static int add_greeting(struct redis *r, struct err *e)
{
	struct str name = str_from(r->username), password = buf_str(&r->password);
	const struct str with_name[] = {STR("AUTH"), name, password};
	const struct str without[] = {STR("AUTH"), password};
	char number[CURSOR_SIZE];
	struct str select[] = {STR("SELECT"), STR_NONE};

	snprintf(number, sizeof(number), "%lld", (long long)r->database);
	select[1] = str_from(number);
	r->greetings = 0;
	if (password.len > 0) {
		r->greetings++;
		if ((name.ptr ? add_command(r, with_name, array_len(with_name), e)
			      : add_command(r, without, array_len(without), e)) != 0)
			return -1;
	}
	if (r->database == 0)
		return 0;
	r->greetings++;
	return add_command(r, select, array_len(select), e);
}

static void on_open(struct conn *c, void *arg)
{
	struct redis *r = arg;
	struct err e = ERR_INIT;

	if (c != r->conn)
		return;
	if (add_greeting(r, &e) != 0) {
		fail(r, &e);
		return;
	}
	conn_read_start(c);
	redis_move(r, r->greetings ? REDIS_GREETING : REDIS_READY);
	if (r->greetings)
		flush(r);
	else
		send_call(r);
}

static const struct conn_events events = {
	.on_open = on_open,
	.on_data = on_data,
	.on_close = on_close,
};

static void begin(struct storage *s, const struct storage_call *c)
{
	struct redis *r = redis_of(s);
	const struct conn_options o = {
		.events = &events,
		.arg = r,
		.tls = r->tls,
		.server_name = r->server_name ? r->server_name : r->host,
		.handshake_timeout_ms = s->timeout_ms,
		.duplex = true,
	};
	struct err e = ERR_INIT;

	(void)c;
	snprintf(r->cursor, sizeof(r->cursor), "0");
	buf_clear(&r->out);
	if (r->state == REDIS_READY) {
		send_call(r);
		return;
	}
	if (conn_connect(&r->conn, s->loop, r->host, r->port, &o, &e) != 0) {
		r->conn = NULL;
		storage_fail(s, &e);
		return;
	}
	r->conns_open++;
	redis_move(r, REDIS_CONNECTING);
}

static void cancel(struct storage *s)
{
	drop(redis_of(s));
}

static void close_redis(struct storage *s)
{
	struct redis *r = redis_of(s);

	r->closing = true;
	drop(r);
	if (r->conns_open == 0)
		storage_deinit(s, free_redis);
}

static const struct storage_ops ops = {.begin = begin, .cancel = cancel, .close = close_redis};

/* --- settings --- */

static const char what[] = "redis";

/* Kong's older names, which it still takes. */
static int conf_text_or(const json_t *c, const char *name, const char *older, const char **out,
			struct err *e)
{
	if (storage_conf_text(c, what, name, NULL, out, e) != 0)
		return -1;
	return *out ? 0 : storage_conf_text(c, what, older, NULL, out, e);
}

static int read_numbers(struct redis *r, const json_t *c, int64_t *timeout, struct err *e)
{
	const json_t *extra = json_object_get(c, "extra_options");
	int64_t port = 0;

	if (storage_conf_number(c, what, "port", PORT, UINT16_MAX, &port, e) != 0 ||
	    storage_conf_number(c, what, "timeout", 0, INT32_MAX, timeout, e) != 0 ||
	    storage_conf_number(c, what, "database", 0, INT32_MAX, &r->database, e) != 0 ||
	    storage_conf_number(c, what, "scan_count", SCAN_COUNT, INT32_MAX, &r->scan_count, e) !=
		    0 ||
	    storage_conf_number(extra, "redis.extra_options", "scan_count", r->scan_count,
				INT32_MAX, &r->scan_count, e) != 0)
		return -1;
	r->port = (uint16_t)port;
	if (r->scan_count > SCAN_COUNT_MAX)
		r->scan_count = SCAN_COUNT_MAX;
	if (r->scan_count < 1)
		r->scan_count = 1;
	return port > 0 ? 0 : err_set(e, ERR_INVALID, "storage_config.redis.port must not be 0");
}

static int read_texts(struct redis *r, const json_t *c, struct err *e)
{
	const json_t *extra = json_object_get(c, "extra_options");
	const char *host = NULL, *user = NULL, *password = NULL, *name = NULL, *space = NULL;

	if (storage_conf_text(c, what, "host", NULL, &host, e) != 0 ||
	    storage_conf_text(c, what, "username", NULL, &user, e) != 0 ||
	    conf_text_or(c, "password", "auth", &password, e) != 0 ||
	    conf_text_or(c, "server_name", "ssl_server_name", &name, e) != 0 ||
	    storage_conf_text(c, what, "namespace", "", &space, e) != 0 ||
	    storage_conf_text(extra, "redis.extra_options", "namespace", space, &space, e) != 0)
		return -1;
	if (!host)
		return err_set(e, ERR_INVALID, "storage_config.redis.host is missing");
	r->host = str_dup(str_from(host));
	r->username = user ? str_dup(str_from(user)) : NULL;
	r->server_name = name ? str_dup(str_from(name)) : NULL;
	r->namespace = str_dup(str_from(space));
	if (!r->host || (user && !r->username) || (name && !r->server_name) || !r->namespace)
		return err_memory(e, "redis storage");
	return password ? buf_add_str(&r->password, str_from(password), e) : 0;
}

static int read_tls(struct redis *r, const json_t *c, const char *ca_file, struct err *e)
{
	struct tls_options o = {.ca_file = ca_file};
	bool tls = false;

	if (storage_conf_switch(c, what, "ssl", false, &tls, e) != 0 ||
	    storage_conf_switch(c, what, "ssl_verify", false, &o.verify_peer, e) != 0)
		return -1;
	return tls ? tls_context(&r->tls, &o, e) : 0;
}

int storage_redis_open(struct storage **out, struct loop *l, const json_t *config,
		       const struct storage_limits *limits, struct err *e)
{
	struct redis *r = calloc(1, sizeof(*r));
	int64_t timeout = 0;

	if (!r)
		return err_memory(e, "redis storage");
	r->password.secret = r->in.secret = r->out.secret = true;
	if (read_numbers(r, config, &timeout, e) != 0 || read_texts(r, config, e) != 0 ||
	    read_tls(r, config, limits->ca_file, e) != 0) {
		free_redis(&r->base);
		return -1;
	}
	storage_init(&r->base, &ops, l, limits, (uint64_t)timeout);
	r->in.limit = text_max(r) + SLACK > LIST_MAX ? text_max(r) + SLACK : LIST_MAX;
	snprintf(r->base.text, sizeof(r->base.text), "redis %.80s:%u/%lld", r->host, r->port,
		 (long long)r->database);
	*out = &r->base;
	return 0;
}
