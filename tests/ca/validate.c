/* Validation: several requests per challenge, each to the next of the configured addresses, so that
 * a fleet behind one name is asked everywhere. All must succeed.
 *
 * Happy path: timer (validate_ms) -> probes -> the last one's end -> verdict. A name's prefix may
 * say its fate without any request (fail-dns-..., see `fates`).
 */
#include <openssl/x509v3.h>
#include <stdio.h>

#include "common/core/clock.h"
#include "common/http/h1_parse.h"
#include "common/net/conn.h"
#include "tests/ca/ca.h"

enum {
	PROBE_MS = 10000,
	DIGEST_SIZE = 32,
	AUTHORIZATION_SIZE = CA_TOKEN_SIZE + CA_THUMBPRINT_SIZE
};

struct validation {
	struct ca *ca;
	struct ca_authz *authz;
	enum ca_method method;
	struct timer timer;
	char expected[AUTHORIZATION_SIZE];
	unsigned left; /* probes */
	json_t *error; /* of the first that failed */
};

struct probe {
	struct validation *v;
	struct conn *conn;
	struct arena arena;
	struct h1_parser parser;
	struct http_response response;
	struct buf body;
	char at[ADDR_TEXT_SIZE];
	bool told;
};

struct fate {
	const char *prefix, *type;
	unsigned status;
	const char *detail;
};
static const struct fate fates[] = {
	{"fail-dns-", "dns", 400,
	 "DNS problem: NXDOMAIN looking up A for %s - check that a DNS record exists for this "
	 "domain"},
	{"fail-unauthorized-", "unauthorized", 403,
	 "Invalid response from http://%s/.well-known/acme-challenge/: 404"},
	{"fail-tls-", "tls", 400, "%s: remote error: tls: handshake failure"},
	{"fail-caa-", "caa", 403, "CAA record for %s prevents issuance"},
	{"fail-", "connection", 400,
	 "Fetching http://%s/.well-known/acme-challenge/: Timeout during connect (likely firewall "
	 "problem)"},
};
static const char forbidden[] = "forbidden-";

json_t *ca_name_fate(const char *name, bool at_order)
{
	char detail[CA_NAME_SIZE + 256];

	if (at_order)
		return str_starts(str_from(name), str_from(forbidden)) ? json_null() : NULL;
	for (size_t i = 0; i < array_len(fates); i++) {
		if (!str_starts(str_from(name), str_from(fates[i].prefix)))
			continue;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(detail, sizeof(detail), fates[i].detail, name);
#pragma GCC diagnostic pop
		return ca_problem_json(fates[i].status, fates[i].type, "%s", detail);
	}
	return NULL;
}

/* --- the verdict --- */

static void decide(struct validation *v)
{
	struct ca_authz *a = v->authz;
	struct ca_challenge *c = &a->challenges[v->method];

	v->ca->counts.validations++;
	if (a->status == CA_PENDING) {
		c->status = v->error ? CA_INVALID : CA_VALID;
		c->error = v->error;
		v->error = NULL;
		c->validated = clock_wall_s();
		a->status = c->status;
		ca_authz_decided(v->ca, a);
	}
	json_decref(v->error);
	free(v);
}

static void probe_told(struct probe *p, json_t *error)
{
	struct validation *v = p->v;

	p->told = true;
	if (p->conn)
		conn_close(p->conn);
	if (error && !v->error)
		v->error = error;
	else
		json_decref(error);
	if (--v->left == 0)
		decide(v);
}

static void probe_free(struct probe *p)
{
	h1_parser_deinit(&p->parser);
	arena_deinit(&p->arena);
	buf_deinit(&p->body);
	free(p);
}

/* --- http-01 --- */

static void judge_answer(struct probe *p)
{
	struct str body = buf_str(&p->body);

	while (body.len > 0 && memchr(" \t\r\n", body.ptr[body.len - 1], 4))
		body.len--;
	if (p->response.status != 200)
		probe_told(p, ca_problem_json(403, "unauthorized",
					      "%s: Invalid response from "
					      "http://%s/.well-known/acme-challenge/%s: %u",
					      p->at, p->v->authz->name,
					      p->v->authz->challenges[p->v->method].token,
					      p->response.status));
	else if (!str_eq(body, str_from(p->v->expected)))
		probe_told(p,
			   ca_problem_json(
				   403, "unauthorized",
				   "%s: The key authorization file from the server did not match "
				   "this challenge. Expected \"%s\" (got \"%.*s\")",
				   p->at, p->v->expected, (int)(body.len < 128 ? body.len : 128),
				   body.ptr));
	else
		probe_told(p, NULL);
}

static void on_http_open(struct conn *c, void *arg)
{
	struct probe *p = arg;
	struct buf request = BUF_INIT;
	const struct ca_authz *a = p->v->authz;

	if (buf_addf(&request, NULL,
		     "GET /.well-known/acme-challenge/%s HTTP/1.1\r\nHost: %s\r\nUser-Agent: "
		     "stand-in CA\r\nAccept: */*\r\nConnection: close\r\n\r\n",
		     a->challenges[p->v->method].token, a->name) == 0)
		conn_write(c, buf_str(&request));
	buf_deinit(&request);
	conn_read_start(c);
}

static void on_http_data(struct conn *c, struct str bytes, void *arg)
{
	struct probe *p = arg;
	struct str piece;
	enum h1_event ev;

	(void)c;
	while ((ev = h1_parse(&p->parser, &bytes, &piece)) != H1_MORE) {
		if (ev == H1_BODY && buf_add_str(&p->body, piece, NULL) != 0)
			ev = H1_ERROR;
		if (ev == H1_ERROR)
			probe_told(p, ca_problem_json(400, "connection",
						      "%s: malformed HTTP response", p->at));
		else if (ev == H1_END)
			judge_answer(p);
		if (p->told)
			return;
	}
}

static void on_http_eof(struct conn *c, void *arg)
{
	struct probe *p = arg;

	(void)c;
	if (h1_parse_end(&p->parser) == H1_END)
		judge_answer(p);
	else
		probe_told(p,
			   ca_problem_json(400, "connection", "%s: the answer ended early", p->at));
}

static void on_probe_close(struct conn *c, const struct err *why, void *arg)
{
	struct probe *p = arg;

	(void)c;
	p->conn = NULL;
	/* Once it was told, the validation may be gone. */
	if (!p->told)
		probe_told(p, ca_problem_json(400, "connection", "%s: Fetching http://%s/: %s",
					      p->at, p->v->authz->name, why->message));
	probe_free(p);
}

static const struct conn_events http_events = {
	.on_open = on_http_open,
	.on_data = on_http_data,
	.on_eof = on_http_eof,
	.on_close = on_probe_close,
};

/* --- tls-alpn-01 (RFC 8737) --- */

/* The one name, and the critical extension with the digest of the key authorization. */
static const char *certificate_fault(X509 *cert, const struct validation *v)
{
	unsigned char want[2 + DIGEST_SIZE] = {0x04, DIGEST_SIZE};
	ASN1_OBJECT *oid = OBJ_txt2obj("1.3.6.1.5.5.7.1.31", 1);
	GENERAL_NAMES *san = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	const int at = X509_get_ext_by_OBJ(cert, oid, -1);
	X509_EXTENSION *extension = at >= 0 ? X509_get_ext(cert, at) : NULL;
	const ASN1_OCTET_STRING *data = extension ? X509_EXTENSION_get_data(extension) : NULL;
	const char *fault = NULL;

	EVP_Digest(v->expected, strlen(v->expected), want + 2, NULL, EVP_sha256(), NULL);
	if (sk_GENERAL_NAME_num(san) != 1)
		fault = "the certificate does not have exactly one name";
	else if (v->authz->ip ? X509_check_ip_asc(cert, v->authz->name, 0) != 1
			      : X509_check_host(cert, v->authz->name, 0, 0, NULL) != 1)
		fault = "the certificate is for another name";
	else if (!data || X509_EXTENSION_get_critical(extension) != 1)
		fault = "no critical acmeIdentifier extension";
	else if (ASN1_STRING_length(data) != (int)sizeof(want) ||
		 memcmp(ASN1_STRING_get0_data(data), want, sizeof(want)) != 0)
		fault = "the acmeIdentifier is another";
	GENERAL_NAMES_free(san);
	ASN1_OBJECT_free(oid);
	return fault;
}

static void on_tls_open(struct conn *c, void *arg)
{
	struct probe *p = arg;
	X509 *cert = SSL_get1_peer_certificate(conn_ssl(c));
	const char *fault = "no certificate";

	if (!str_eq(conn_alpn(c), STR("acme-tls/1")))
		fault = "the server did not select acme-tls/1";
	else if (cert)
		fault = certificate_fault(cert, p->v);
	X509_free(cert);
	probe_told(p, fault ? ca_problem_json(403, "unauthorized",
					      "%s: Incorrect validation certificate for "
					      "tls-alpn-01 challenge: %s",
					      p->at, fault)
			    : NULL);
}

static void on_tls_data(struct conn *c, struct str bytes, void *arg)
{
	(void)c;
	(void)bytes;
	(void)arg;
}

static const struct conn_events tls_events = {
	.on_open = on_tls_open,
	.on_data = on_tls_data,
	.on_close = on_probe_close,
};

/* RFC 8738: an address is asked for by its name in the reverse tree. */
static void server_name(const struct ca_authz *a, char *out, size_t size)
{
	struct addr at;
	const unsigned char *b;
	size_t used = 0;

	snprintf(out, size, "%s", a->name);
	if (!a->ip || addr_parse_ip(&at, str_from(a->name)) != 0)
		return;
	if (at.u.sa.sa_family == AF_INET) {
		b = (const unsigned char *)&at.u.in4.sin_addr;
		snprintf(out, size, "%u.%u.%u.%u.in-addr.arpa", b[3], b[2], b[1], b[0]);
		return;
	}
	b = (const unsigned char *)&at.u.in6.sin6_addr;
	for (int i = 15; i >= 0; i--)
		used += (size_t)snprintf(out + used, size - used, "%x.%x.", b[i] & 15, b[i] >> 4);
	snprintf(out + used, size - used, "ip6.arpa");
}

/* --- probes --- */

static const struct addr *address(const struct validation *v, size_t i)
{
	const struct ca *ca = v->ca;
	const struct ca_route *r = map_get(&ca->resolve, str_from(v->authz->name));
	const bool http = v->method == CA_HTTP01;
	const size_t count = http ? ca->http_count : ca->tls_count;

	if (r && http)
		return r->count ? &r->at[i % r->count] : NULL;
	if (count == 0)
		return NULL;
	return http ? &ca->http_at[i % count] : &ca->tls_at[i % count];
}

static void probe_start(struct validation *v, size_t i)
{
	static const struct h1_limits limits = {.body = 64 << 10};
	const struct addr *at = address(v, i);
	struct probe *p = calloc(1, sizeof(*p));
	char ip[ADDR_TEXT_SIZE], name[CA_NAME_SIZE];
	struct conn_options o = {.events = v->method == CA_HTTP01 ? &http_events : &tls_events,
				 .arg = p,
				 .handshake_timeout_ms = PROBE_MS};
	struct err e = ERR_INIT;

	if (!p)
		abort();
	p->v = v;
	p->body.limit = 64 << 10;
	arena_init(&p->arena, 256 << 10);
	h1_parser_init(&p->parser, &limits, STR("http"));
	h1_parser_start_response(&p->parser, &p->arena, &p->response, STR("GET"));
	if (v->method == CA_TLSALPN01) {
		server_name(v->authz, name, sizeof(name));
		o.tls = v->ca->probe_tls;
		o.server_name = name;
	}
	v->ca->counts.validation_requests++;
	if (!at) {
		probe_told(p, ca_problem_json(400, "dns", "no address is known for %s",
					      v->authz->name));
		probe_free(p);
		return;
	}
	addr_ip_text(at, ip, sizeof(ip));
	addr_text(at, p->at, sizeof(p->at));
	if (conn_connect(&p->conn, &v->ca->loop, ip, addr_port(at), &o, &e) != 0) {
		p->conn = NULL;
		probe_told(p, ca_problem_json(400, "connection", "%s: %s", p->at, e.message));
		probe_free(p);
		return;
	}
	conn_idle_timeout(p->conn, PROBE_MS);
}

static void on_timer_closed(struct timer *t)
{
	struct validation *v = container_of(t, struct validation, timer);
	const size_t n = (size_t)v->ca->settings.perspectives;

	v->error = ca_name_fate(v->authz->name, false);
	if (v->error) {
		decide(v);
		return;
	}
	v->left = (unsigned)n + 1; /* one for this loop */
	for (size_t i = 0; i < n; i++)
		probe_start(v, i);
	if (--v->left == 0)
		decide(v);
}

static void on_time(struct timer *t)
{
	timer_close(t, on_timer_closed);
}

void ca_validate(struct ca *ca, struct ca_authz *a, enum ca_method m)
{
	struct validation *v = calloc(1, sizeof(*v));

	if (!v)
		abort();
	v->ca = ca;
	v->authz = a;
	v->method = m;
	snprintf(v->expected, sizeof(v->expected), "%s.%s", a->challenges[m].token,
		 a->account->thumbprint);
	timer_init(&v->timer, &ca->loop, on_time);
	timer_start(&v->timer, (uint64_t)ca->settings.validate_ms, 0);
}
