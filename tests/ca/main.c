/* acme-ca: the stand-in authority as a program.
 *
 *     acme-ca folder=DIR listen=IP:PORT manage=IP:PORT [http=IP:PORT]... [tls=IP:PORT]...
 *             [profile=NAME:SECONDS[:ip]]... [mac=KID:BASE64URL]... [SETTING=NUMBER]...
 *
 * http and tls: where validation requests go, in turn. DIR/ca.pem is then the trust for its API.
 */
#include <signal.h>
#include <stdio.h>

#include "common/core/clock.h"
#include "common/core/codec.h"
#include "common/core/log.h"
#include "common/net/tls.h"
#include "common/pki/cert.h"
#include "common/pki/key.h"
#include "tests/ca/ca.h"

enum { TLS_LIFE_S = 3650 * 86400, REQUESTS_MAX = 1000000000 };

struct arguments {
	const char *folder;
	struct listen_entry acme, manage;
};

/* --- arguments --- */

static int take_profile(struct ca *ca, struct str value, struct err *e)
{
	struct ca_profile *p = &ca->profiles[ca->profile_count];
	struct str rest = value, name, seconds = STR_NONE;
	uint64_t s = 0;

	if (ca->profile_count == CA_PROFILES_MAX || !str_split(&rest, ':', &name) ||
	    name.len >= sizeof(p->name) ||
	    (str_split(&rest, ':', &seconds) ? str_u64(seconds, &s) : str_u64(rest, &s)) != 0)
		return err_set(e, ERR_INVALID, "profile=NAME:SECONDS[:ip]");
	snprintf(p->name, sizeof(p->name), "%.*s", (int)name.len, name.ptr);
	snprintf(p->description, sizeof(p->description), "https://ca.example/profiles#%.*s",
		 (int)name.len, name.ptr);
	p->validity_s = (int64_t)s;
	p->ip = str_ends(value, STR(":ip"));
	ca->profile_count++;
	return 0;
}

static int take_mac(struct ca *ca, struct str value, struct err *e)
{
	const size_t colon = str_find(value, ':', 0);
	struct buf *mac = calloc(1, sizeof(*mac));

	if (!mac || base64url_decode(mac, str_sub(value, colon + 1, value.len), e) != 0 ||
	    map_put(&ca->macs, str_sub(value, 0, colon), mac, NULL, e) != 0) {
		free(mac);
		return -1;
	}
	return 0;
}

static int take_address(struct addr *list, size_t *count, struct str value, struct err *e)
{
	if (*count == CA_ADDRESSES_MAX)
		return err_set(e, ERR_LIMIT, "too many addresses");
	return addr_parse(&list[(*count)++], value, e);
}

static int take(struct ca *ca, struct arguments *a, const char *text, struct err *e)
{
	struct str argument = str_from(text);
	const size_t at = str_find(argument, '=', 0);
	struct str value = str_sub(argument, at + 1, argument.len);
	char name[64];
	uint64_t number = 0;

	snprintf(name, sizeof(name), "%.*s", (int)at, text);
	argument = str_from(name);
	if (str_eq(argument, STR("folder"))) {
		a->folder = value.ptr;
		return 0;
	}
	if (str_eq(argument, STR("listen")))
		return addr_parse(&a->acme.addr, value, e);
	if (str_eq(argument, STR("manage")))
		return addr_parse(&a->manage.addr, value, e);
	if (str_eq(argument, STR("http")))
		return take_address(ca->http_at, &ca->http_count, value, e);
	if (str_eq(argument, STR("tls")))
		return take_address(ca->tls_at, &ca->tls_count, value, e);
	if (str_eq(argument, STR("profile")))
		return take_profile(ca, value, e);
	if (str_eq(argument, STR("mac")))
		return take_mac(ca, value, e);
	if (str_u64(value, &number) != 0 || number > INT64_MAX)
		return err_set(e, ERR_INVALID, "%s: not a number", name);
	return ca_settings_put(&ca->settings, name, (int64_t)number, e);
}

/* --- TLS --- */

static int write_file(const char *folder, const char *name, struct str text, struct err *e)
{
	char path[4096];
	FILE *f;
	int rc = 0;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "we");
	if (!f)
		return err_set(e, ERR_INVALID, "cannot write %s", path);
	if (fwrite(text.ptr, 1, text.len, f) != text.len)
		rc = -1;
	return fclose(f) == 0 && rc == 0 ? 0 : err_set(e, ERR_INVALID, "cannot write %s", path);
}

static int write_cert(const char *folder, const char *name, X509 *cert, struct err *e)
{
	struct buf pem = BUF_INIT;
	int rc = -1;

	if (cert_to_pem(&pem, cert, e) == 0)
		rc = write_file(folder, name, buf_str(&pem), e);
	buf_deinit(&pem);
	return rc;
}

static int write_key(const char *folder, EVP_PKEY *key, struct err *e)
{
	struct buf pem = {.secret = true};
	int rc = -1;

	if (key_to_pem(&pem, key, e) == 0)
		rc = write_file(folder, "key.pem", buf_str(&pem), e);
	buf_deinit(&pem);
	return rc;
}

/* The API's certificate, of an authority of its own: DIR/ca.pem. */
static int make_tls(struct ca *ca, const char *folder, struct err *e)
{
	static const char *const names[] = {"localhost", "127.0.0.1", NULL};
	const int64_t now = clock_wall_s();
	const struct cert_make root = {.common_name = "stand-in API",
				       .ca = true,
				       .not_before = now - 3600,
				       .not_after = now + TLS_LIFE_S};
	const struct cert_make leaf = {.names = names,
				       .server = true,
				       .not_before = now - 3600,
				       .not_after = now + TLS_LIFE_S};
	char cert_file[4096], key_file[4096];
	const struct tls_options o = {
		.server = true, .cert_file = cert_file, .key_file = key_file, .http2 = true};
	EVP_PKEY *root_key = NULL, *key = NULL;
	X509 *root_cert = NULL, *cert = NULL;
	int rc = -1;

	snprintf(cert_file, sizeof(cert_file), "%s/server.pem", folder);
	snprintf(key_file, sizeof(key_file), "%s/key.pem", folder);
	if (key_generate(&root_key, KEY_EC_P256, e) == 0 &&
	    key_generate(&key, KEY_EC_P256, e) == 0 &&
	    cert_make(&root_cert, &root, root_key, NULL, NULL, e) == 0 &&
	    cert_make(&cert, &leaf, key, root_cert, root_key, e) == 0 &&
	    write_key(folder, key, e) == 0 && write_cert(folder, "server.pem", cert, e) == 0 &&
	    write_cert(folder, "ca.pem", root_cert, e) == 0)
		rc = tls_context(&ca->tls, &o, e);
	EVP_PKEY_free(root_key);
	EVP_PKEY_free(key);
	X509_free(root_cert);
	X509_free(cert);
	return rc;
}

static int make_probe_tls(struct ca *ca, struct err *e)
{
	static const unsigned char alpn[] = "\x0a"
					    "acme-tls/1";

	ca->probe_tls = SSL_CTX_new(TLS_client_method());
	if (!ca->probe_tls || SSL_CTX_set_min_proto_version(ca->probe_tls, TLS1_2_VERSION) != 1 ||
	    SSL_CTX_set_alpn_protos(ca->probe_tls, alpn, sizeof(alpn) - 1) != 0)
		return err_openssl(e, ERR_INTERNAL, "TLS");
	SSL_CTX_set_verify(ca->probe_tls, SSL_VERIFY_NONE, NULL);
	return 0;
}

/* --- listeners --- */

static int on_acme_accept(struct listener *l, struct conn_options *o, void *arg)
{
	struct ca *ca = arg;

	(void)l;
	o->tls = ca->tls;
	ca->counts.tls_connections++;
	return http_server_accept(&ca->acme, o, NULL);
}

static int on_manage_accept(struct listener *l, struct conn_options *o, void *arg)
{
	struct ca *ca = arg;

	(void)l;
	return http_server_accept(&ca->manage, o, NULL);
}

static int listen_at(struct listener **out, struct ca *ca, const struct listen_entry *entry,
		     int (*on_accept)(struct listener *, struct conn_options *, void *),
		     struct err *e)
{
	const struct listener_options o = {.entry = *entry, .on_accept = on_accept, .arg = ca};

	return listener_start(out, &ca->loop, &o, e);
}

static int start(struct ca *ca, const struct arguments *a, struct err *e)
{
	char text[ADDR_TEXT_SIZE];

	if (!a->folder || !addr_port(&a->acme.addr) || !addr_port(&a->manage.addr))
		return err_set(e, ERR_INVALID, "folder, listen and manage are needed");
	addr_text(&a->manage.addr, text, sizeof(text));
	snprintf(ca->manage_base, sizeof(ca->manage_base), "http://%s", text);
	http_server_init(&ca->acme, &ca_acme_handler, ca);
	http_server_init(&ca->manage, &ca_manage_handler, ca);
	ca->acme.http2 = true;
	ca->acme.limits.requests_per_connection = REQUESTS_MAX;
	ca->acme.limits.streams = 1000;
	if (ca_nonces_init(&ca->nonces, e) != 0 || ca_issue_setup(ca, e) != 0 ||
	    make_tls(ca, a->folder, e) != 0 || make_probe_tls(ca, e) != 0)
		return -1;
	if (listen_at(&ca->acme_listener, ca, &a->acme, on_acme_accept, e) != 0)
		return -1;
	return listen_at(&ca->manage_listener, ca, &a->manage, on_manage_accept, e);
}

static void on_signal(int number, void *arg)
{
	(void)number;
	(void)arg;
	_Exit(0); /* everything is in memory and of no worth */
}

int main(int argc, char **argv)
{
	static struct ca ca;
	struct arguments a = {.folder = NULL};
	struct map *const maps[] = {&ca.resolve,   &ca.macs,	 &ca.by_thumbprint, &ca.by_serial,
				    &ca.by_certid, &ca.by_name,	 &ca.reusable,	    &ca.open_sets,
				    &ca.limits,	   &ca.failures, &ca.paused};
	struct signals *signals = NULL;
	struct err e = ERR_INIT;

	log_setup("acme-ca", LOG_WARN, LOG_FORMAT_LOGFMT);
	ca_settings_init(&ca.settings);
	for (size_t i = 0; i < array_len(maps); i++)
		map_init(maps[i]);
	ca.requests = json_object();
	ca.answers = json_object();
	for (int i = 1; i < argc; i++)
		if (take(&ca, &a, argv[i], &e) != 0)
			goto fail;
	if (loop_init(&ca.loop, &e) != 0 || start(&ca, &a, &e) != 0 ||
	    signals_start(&signals, &ca.loop, on_signal, NULL, &e) != 0)
		goto fail;
	loop_run(&ca.loop);
	return 0;
fail:
	fprintf(stderr, "acme-ca: %s\n", e.message);
	return 2;
}
