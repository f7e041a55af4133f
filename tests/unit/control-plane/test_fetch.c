/* HTTPS fetching against a server nobody here wrote (Python's), which answers well, badly, slowly
 * and without end. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "control-plane/acme/backoff.h"
#include "control-plane/acme/fetch.h"
#include "tests/unit/lib/loop_fixture.h"
#include "tests/unit/lib/testcert.h"

/* Writes its port as the first line. */
static const char server_py[] =
	"import http.server, ssl, sys, time\n"
	"class H(http.server.BaseHTTPRequestHandler):\n"
	"  protocol_version = 'HTTP/1.1'\n"
	"  def log_message(self, *a): pass\n"
	"  def answer(self, status, body=b'', **h):\n"
	"    self.send_response(status)\n"
	"    for k, v in h.items(): self.send_header(k.replace('_', '-'), v)\n"
	"    self.send_header('Content-Length', str(len(body)))\n"
	"    self.end_headers()\n"
	"    if self.command != 'HEAD': self.wfile.write(body)\n"
	"  def do_GET(self):\n"
	"    p = self.path\n"
	"    if p == '/ok': self.answer(200, b'{}', Replay_Nonce='abc', Location='https://x/1')\n"
	"    elif p == '/delta': self.answer(503, b'busy', Retry_After='7')\n"
	"    elif p == '/date': self.answer(429, b'', Retry_After='Sun, 06 Nov 1994 08:49:37 "
	"GMT')\n"
	"    elif p == '/bad-retry': self.answer(429, b'', Retry_After='soon')\n"
	"    elif p == '/redirect': self.answer(302, b'', Location='https://127.0.0.1/ok')\n"
	"    elif p == '/limit': self.answer(200, b'x' * 1000)\n"
	"    elif p == '/long': self.answer(200, b'x' * 1001)\n"
	"    elif p == '/from': self.answer(200, self.client_address[0].encode())\n"
	"    elif p == '/slow': time.sleep(30)\n"
	"    elif p == '/cut': self.wfile.write(b'HTTP/1.1 200 OK\\r\\nContent-Length: "
	"9\\r\\n\\r\\nx'); self.close_connection = True\n"
	"    elif p == '/garbage': self.wfile.write(b'\\x00\\xff not http\\r\\n\\r\\n'); "
	"self.close_connection = True\n"
	"    elif p == '/endless':\n"
	"      self.wfile.write(b'HTTP/1.1 200 OK\\r\\n\\r\\n')\n"
	"      try:\n"
	"        while True: self.wfile.write(b'y' * 100)\n"
	"      except OSError: self.close_connection = True\n"
	"    elif p == '/headers':\n"
	"      try:\n"
	"        while True: self.wfile.write(b'HTTP/1.1 103 Early Hints\\r\\nX: ' + b'z' * 1000 + "
	"b'\\r\\n\\r\\n')\n"
	"      except OSError: self.close_connection = True\n"
	"    else: self.answer(404, self.headers['User-Agent'].encode())\n"
	"  do_HEAD = do_GET\n"
	"  def do_POST(self):\n"
	"    body = self.rfile.read(int(self.headers['Content-Length']))\n"
	"    self.answer(201, self.headers['Content-Type'].encode() + b'|' + "
	"self.headers['Accept'].encode() + b'|' + body)\n"
	"s = http.server.ThreadingHTTPServer(('127.0.0.1', 0), H)\n"
	"s.daemon_threads = True\n"
	"c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n"
	"c.load_cert_chain(sys.argv[1], sys.argv[2])\n"
	"s.socket = c.wrap_socket(s.socket, server_side=True, do_handshake_on_connect=False)\n"
	"print(s.server_address[1], flush=True)\n"
	"s.serve_forever()\n";

struct world {
	struct loop_fixture f;
	struct fetcher *fetcher;
	char folder[64], ca[96], cert[96], key[96], other_ca[96];
	pid_t server;
	unsigned port;
	bool closed;
	/* The last reply. */
	unsigned replies;
	struct err err;
	unsigned status;
	struct buf body;
	char nonce[64], location[64];
	int64_t retry_after_ms;
};

static void write_pems(struct world *w)
{
	struct testca ca, other;
	const struct testcert_options o = {.san = "DNS:localhost,IP:127.0.0.1"};
	X509 *cert;
	EVP_PKEY *key;

	testca_init(&ca, "fetch test");
	testca_init(&other, "another");
	testcert_issue(&ca, &o, &cert, &key);
	testcert_write(w->ca, ca.cert);
	testcert_write(w->other_ca, other.cert);
	testcert_write(w->cert, cert);
	testcert_write_key(w->key, key);
	X509_free(cert);
	EVP_PKEY_free(key);
	testca_deinit(&ca);
	testca_deinit(&other);
}

static void start_server(struct world *w)
{
	char line[16] = "";
	char python[] = "/usr/bin/python3", flag[] = "-c";
	struct buf code = BUF_INIT;
	uint64_t port = 0;
	size_t used = 0;
	int fds[2];

	assert_int_equal(buf_add_str(&code, str_from(server_py), NULL), 0);
	assert_int_equal(pipe(fds), 0);
	w->server = fork();
	assert_true(w->server >= 0);
	if (w->server == 0) {
		char *const argv[] = {python, flag, code.data, w->cert, w->key, NULL};

		dup2(fds[1], STDOUT_FILENO);
		close(fds[0]);
		close(fds[1]);
		execv(python, argv);
		_exit(127);
	}
	close(fds[1]);
	/* The line may come in pieces. */
	while (used < sizeof(line) - 1 && !memchr(line, '\n', used)) {
		ssize_t n = read(fds[0], line + used, sizeof(line) - 1 - used);

		assert_true(n > 0);
		used += (size_t)n;
	}
	close(fds[0]);
	buf_deinit(&code);
	assert_int_equal(str_u64((struct str){line, used - 1}, &port), 0);
	w->port = (unsigned)port;
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	snprintf(w->folder, sizeof(w->folder), "/tmp/cardea-fetch-XXXXXX");
	assert_non_null(mkdtemp(w->folder));
	snprintf(w->ca, sizeof(w->ca), "%s/ca.pem", w->folder);
	snprintf(w->other_ca, sizeof(w->other_ca), "%s/other.pem", w->folder);
	snprintf(w->cert, sizeof(w->cert), "%s/cert.pem", w->folder);
	snprintf(w->key, sizeof(w->key), "%s/key.pem", w->folder);
	write_pems(w);
	start_server(w);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	kill(w->server, SIGKILL);
	waitpid(w->server, NULL, 0);
	unlink(w->ca);
	unlink(w->other_ca);
	unlink(w->cert);
	unlink(w->key);
	rmdir(w->folder);
	free(w);
	return 0;
}

static void open_fetcher(struct world *w, const char *ca_file, bool allow_private)
{
	const struct fetcher_conf c = {.ca_file = ca_file,
				       .allow_private = allow_private,
				       .connect_timeout_ms = 2000,
				       .timeout_ms = 1500,
				       .body_max = 1000};
	struct err e = ERR_INIT;

	w->closed = false;
	w->replies = 0;
	fixture_init(&w->f);
	if (fetcher_create(&w->fetcher, &w->f.loop, &c, &e) != 0)
		fail_msg("%s", e.message);
}

static void on_closed(void *arg)
{
	((struct world *)arg)->closed = true;
}

static void close_fetcher(struct world *w)
{
	fetcher_close(w->fetcher, on_closed, w);
	run_until(&w->f, w->closed);
	fixture_deinit(&w->f);
	buf_deinit(&w->body);
}

static void copy(char *out, size_t size, struct str s)
{
	snprintf(out, size, "%.*s", (int)s.len, s.ptr ? s.ptr : "");
}

static void on_reply(const struct fetch_reply *r, void *arg)
{
	struct world *w = arg;

	w->replies++;
	w->err = r->err;
	w->status = r->status;
	buf_clear(&w->body);
	assert_int_equal(buf_add_str(&w->body, r->body, NULL), 0);
	copy(w->nonce, sizeof(w->nonce), r->nonce);
	copy(w->location, sizeof(w->location), r->location);
	w->retry_after_ms = r->retry_after_ms;
}

static struct fetch *start(struct world *w, enum fetch_method method, const char *host,
			   const char *path)
{
	struct fetch_request r = {.method = method};
	struct fetch *x = NULL;
	struct err e = ERR_INIT;
	char url[128];

	snprintf(url, sizeof(url), "https://%s:%u%s", host, w->port, path);
	r.url = url;
	if (method == FETCH_POST) {
		r.body = STR("hello");
		r.content_type = "application/jose+json";
		r.accept = "text/plain";
	}
	if (fetch_start(&x, w->fetcher, &r, on_reply, w, &e) != 0)
		fail_msg("%s", e.message);
	return x;
}

static void fetch(struct world *w, enum fetch_method method, const char *path)
{
	unsigned before = w->replies;

	start(w, method, "127.0.0.1", path);
	assert_int_equal(w->replies, before); /* never at once */
	run_until(&w->f, w->replies > before);
}

static void test_answers(void **state)
{
	struct world *w = *state;

	open_fetcher(w, w->ca, true);
	fetch(w, FETCH_GET, "/ok");
	assert_int_equal(w->err.kind, ERR_NONE);
	assert_int_equal(w->status, 200);
	assert_string_equal(buf_str(&w->body).ptr, "{}");
	assert_string_equal(w->nonce, "abc");
	assert_string_equal(w->location, "https://x/1");
	assert_int_equal(w->retry_after_ms, RETRY_AFTER_NONE);
	fetch(w, FETCH_HEAD, "/ok");
	assert_int_equal(w->status, 200);
	assert_int_equal(w->body.len, 0);
	assert_string_equal(w->nonce, "abc");
	fetch(w, FETCH_POST, "/x");
	assert_int_equal(w->status, 201);
	assert_string_equal(w->body.data, "application/jose+json|text/plain|hello");
	fetch(w, FETCH_GET, "/nothing");
	assert_int_equal(w->status, 404);
	assert_true(str_starts(buf_str(&w->body), STR("cardea/")));
	fetch(w, FETCH_GET, "/delta");
	assert_int_equal(w->status, 503);
	assert_int_equal(w->retry_after_ms, 7000);
	fetch(w, FETCH_GET, "/date");
	assert_int_equal(w->retry_after_ms, 0);
	fetch(w, FETCH_GET, "/bad-retry");
	assert_int_equal(w->retry_after_ms, RETRY_AFTER_NONE);
	fetch(w, FETCH_GET, "/redirect");
	assert_int_equal(w->status, 302); /* not followed */
	fetch(w, FETCH_GET, "/limit");
	assert_int_equal(w->body.len, 1000);
	close_fetcher(w);
}

struct bad_row {
	const char *path;
	enum err_kind want;
};
static const struct bad_row bad[] = {
	{"/long", ERR_LIMIT},	   {"/endless", ERR_LIMIT},	  {"/headers", ERR_LIMIT},
	{"/cut", ERR_UNAVAILABLE}, {"/garbage", ERR_UNAVAILABLE}, {"/slow", ERR_TIMEOUT},
};

static void test_bad_answers(void **state)
{
	struct world *w = *state;

	open_fetcher(w, w->ca, true);
	for (size_t i = 0; i < array_len(bad); i++) {
		fetch(w, FETCH_GET, bad[i].path);
		if (w->err.kind != bad[i].want)
			fail_msg("%s: %s %s", bad[i].path, err_kind_name(w->err.kind),
				 w->err.message);
	}
	close_fetcher(w);
}

static void test_trust(void **state)
{
	struct world *w = *state;
	const struct fetcher_conf missing = {.ca_file = "/nonexistent/ca.pem"};
	struct fetcher *none;
	struct err e = ERR_INIT;

	open_fetcher(w, w->other_ca, true);
	fetch(w, FETCH_GET, "/ok");
	assert_int_equal(w->err.kind, ERR_UNAVAILABLE);
	assert_int_equal(fetcher_create(&none, &w->f.loop, &missing, &e), -1);
	assert_non_null(strstr(e.message, "/nonexistent/ca.pem"));
	close_fetcher(w);
	open_fetcher(w, NULL, true); /* the system's trust */
	fetch(w, FETCH_GET, "/ok");
	assert_int_equal(w->err.kind, ERR_UNAVAILABLE);
	close_fetcher(w);
}

/* The operator's own server may be anywhere. */
static void test_own(void **state)
{
	struct world *w = *state;
	const struct fetcher_conf c = {.ca_file = w->ca,
				       .own = true,
				       .connect_timeout_ms = 2000,
				       .timeout_ms = 1500,
				       .body_max = 1000};
	const struct fetch_request other = {.method = FETCH_GET, .url = "ftp://127.0.0.1/"};
	struct fetch *x;
	struct err e = ERR_INIT;

	w->closed = false;
	w->replies = 0;
	fixture_init(&w->f);
	assert_int_equal(fetcher_create(&w->fetcher, &w->f.loop, &c, &e), 0);
	fetch(w, FETCH_GET, "/ok");
	assert_int_equal(w->err.kind, ERR_NONE);
	assert_int_equal(w->status, 200);
	assert_int_equal(fetch_start(&x, w->fetcher, &other, on_reply, w, &e), -1);
	assert_int_equal(e.kind, ERR_DENIED);
	close_fetcher(w);
}

/* The server listens on IPv4 only. */
static void test_from(void **state)
{
	static const struct {
		const char *from;
		const char *seen; /* by the server; NULL: no connection */
	} rows[] = {
		{NULL, "127.0.0.1"},	    {"", "127.0.0.1"}, {"127.0.0.1", "127.0.0.1"},
		{"127.0.0.2", "127.0.0.2"}, {"::1", NULL},     {"192.0.2.1", NULL},
	};
	struct world *w = *state;
	struct fetcher_conf c = {.ca_file = w->ca,
				 .allow_private = true,
				 .connect_timeout_ms = 2000,
				 .timeout_ms = 1500,
				 .body_max = 1000};
	static const char *const bad[] = {"nowhere", "127.0.0.1:80", "[::1]", "lo", "127.0.0.1 "};
	struct err e = ERR_INIT;

	for (size_t i = 0; i < array_len(rows); i++) {
		w->closed = false;
		w->replies = 0;
		c.from = rows[i].from;
		fixture_init(&w->f);
		assert_int_equal(fetcher_create(&w->fetcher, &w->f.loop, &c, &e), 0);
		fetch(w, FETCH_GET, "/from");
		if ((w->err.kind == ERR_NONE) != (rows[i].seen != NULL))
			fail_msg("row %zu: %s", i, w->err.message);
		if (rows[i].seen)
			assert_true(str_eq(buf_str(&w->body), str_from(rows[i].seen)));
		close_fetcher(w);
	}
	fixture_init(&w->f);
	for (size_t i = 0; i < array_len(bad); i++) {
		c.from = bad[i];
		assert_int_equal(fetcher_create(&w->fetcher, &w->f.loop, &c, &e), -1);
		assert_int_equal(e.kind, ERR_INVALID);
	}
	fixture_deinit(&w->f);
}

static void test_gate(void **state)
{
	struct world *w = *state;
	const struct fetch_request refused = {.method = FETCH_GET, .url = "https://127.0.0.1/"};
	const struct fetch_request plain = {.method = FETCH_GET, .url = "http://a.example/"};
	/* 127.0.0.1 in a spelling that only the connection shows. */
	const struct fetch_request name = {.method = FETCH_GET, .url = "https://2130706433/"};
	struct fetch *x = NULL;
	struct err e = ERR_INIT;

	open_fetcher(w, w->ca, false);
	assert_int_equal(fetch_start(&x, w->fetcher, &refused, on_reply, w, &e), -1);
	assert_int_equal(e.kind, ERR_DENIED);
	assert_int_equal(fetch_start(&x, w->fetcher, &plain, on_reply, w, &e), -1);
	assert_int_equal(e.kind, ERR_DENIED);
	assert_int_equal(fetch_start(&x, w->fetcher, &name, on_reply, w, &e), 0);
	run_until(&w->f, w->replies > 0);
	assert_int_equal(w->err.kind, ERR_DENIED);
	close_fetcher(w);
}

static void test_refused_connection(void **state)
{
	struct world *w = *state;
	unsigned port = w->port;

	open_fetcher(w, w->ca, true);
	w->port = 1;
	fetch(w, FETCH_GET, "/ok");
	w->port = port;
	assert_int_equal(w->err.kind, ERR_UNAVAILABLE);
	close_fetcher(w);
}

static void test_cancel_and_close(void **state)
{
	struct world *w = *state;

	open_fetcher(w, w->ca, true);
	fetch_cancel(NULL);
	fetch_cancel(start(w, FETCH_GET, "127.0.0.1", "/ok")); /* before the first turn */
	for (int i = 0; i < 8; i++)
		start(w, FETCH_GET, "127.0.0.1", i % 2 ? "/ok" : "/slow");
	run_until(&w->f, w->replies == 4);
	fetch_cancel(start(w, FETCH_GET, "127.0.0.1", "/slow"));
	fixture_spin(&w->f, 3);
	close_fetcher(w); /* with four under way */
	assert_int_equal(w->replies, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_bad_answers),
		cmocka_unit_test(test_trust),
		cmocka_unit_test(test_own),
		cmocka_unit_test(test_from),
		cmocka_unit_test(test_gate),
		cmocka_unit_test(test_refused_connection),
		cmocka_unit_test(test_cancel_and_close),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
