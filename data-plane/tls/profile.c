#include "data-plane/tls/profile.h"

#include <openssl/err.h>
#include <string.h>

#include "common/core/str.h"

const char *const tls_suite_names[] = {"modern", "intermediate", "old", "custom", NULL};

static_assert(array_len(tls_suite_names) == TLS_SUITES + 1, "a name per suite");

/* Mozilla's lists (server side TLS 5.7), without DHE in intermediate (TLS-02). TLS 1.3 has its own
 * suites, of which there is nothing to choose. */
static const char intermediate[] = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
				   "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
				   "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
/* TLS 1.0 and 1.1 sign with SHA-1, which OpenSSL takes at level 0 only. */
static const char old[] = "@SECLEVEL=0:"
			  "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
			  "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
			  "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"
			  "ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256:"
			  "ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:"
			  "ECDHE-ECDSA-AES256-SHA384:ECDHE-RSA-AES256-SHA384:"
			  "ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-SHA:"
			  "AES128-GCM-SHA256:AES256-GCM-SHA384:AES128-SHA256:AES256-SHA256:"
			  "AES128-SHA:AES256-SHA";

/* Kong leaves the choice to the client in modern and intermediate, where all suites are good; here
 * the quickest that both have is taken, or ChaCha20 for a client that prefers it. */
static const struct {
	const char *ciphers, *protocols;
	bool prefer_server;
} suites[TLS_SUITES] = {
	[SUITE_MODERN] = {intermediate, "TLSv1.3", true},
	[SUITE_INTERMEDIATE] = {intermediate, "TLSv1.2 TLSv1.3", true},
	[SUITE_OLD] = {old, "TLSv1 TLSv1.1 TLSv1.2 TLSv1.3", true},
};

/* --- protocols --- */

static const struct {
	const char *name;
	int version;
	uint64_t off;
} protocols[] = {
	{"TLSv1", TLS1_VERSION, SSL_OP_NO_TLSv1},
	{"TLSv1.1", TLS1_1_VERSION, SSL_OP_NO_TLSv1_1},
	{"TLSv1.2", TLS1_2_VERSION, SSL_OP_NO_TLSv1_2},
	{"TLSv1.3", TLS1_3_VERSION, SSL_OP_NO_TLSv1_3},
};

static int read_protocols(const char *text, unsigned *set, struct err *e)
{
	struct str rest = str_from(text), word;

	*set = 0;
	while (str_split(&rest, ' ', &word)) {
		size_t i = 0;

		while (i < array_len(protocols) && !str_eq(word, str_from(protocols[i].name)))
			i++;
		if (i < array_len(protocols))
			*set |= 1U << i;
		else if (word.len > 0)
			return err_set(e, ERR_INVALID,
				       "ssl_protocols: \"%.*s\" is none of TLSv1, TLSv1.1, "
				       "TLSv1.2, TLSv1.3",
				       (int)word.len, word.ptr);
	}
	return *set ? 0 : err_set(e, ERR_INVALID, "ssl_protocols: there is none");
}

static int set_protocols(SSL_CTX *ctx, const char *text, struct err *e)
{
	unsigned set;
	size_t first = 0;

	if (read_protocols(text, &set, e) != 0)
		return -1;
	while (!(set & 1U << first))
		first++;
	for (size_t i = 0; i < array_len(protocols); i++)
		if (!(set & 1U << i))
			SSL_CTX_set_options(ctx, protocols[i].off);
	return SSL_CTX_set_min_proto_version(ctx, protocols[first].version) == 1
		       ? 0
		       : err_openssl(e, ERR_INVALID, "ssl_protocols");
}

/* --- groups --- */

enum { GROUPS_MAX = 512 };

static bool has_group(const SSL_CTX *like, char *name)
{
	/* On a context of its own: a refused list may leave something behind. */
	SSL_CTX *ctx = SSL_CTX_new(SSL_CTX_get_ssl_method(like));
	bool yes = ctx && SSL_CTX_set1_groups_list(ctx, name) == 1;

	SSL_CTX_free(ctx);
	ERR_clear_error();
	return yes;
}

static int set_groups(SSL_CTX *ctx, const char *text, struct err *e)
{
	struct str rest = str_from(text), word;
	char list[GROUPS_MAX] = "", one[GROUPS_MAX];
	size_t n = 0;

	if (rest.len >= sizeof(list))
		return err_set(e, ERR_INVALID, "ssl_ecdh_curve: more than %d bytes",
			       GROUPS_MAX - 1);
	while (str_split(&rest, ':', &word)) {
		bool optional = word.len > 0 && word.ptr[0] == '?';

		if (optional)
			word = str_sub(word, 1, word.len);
		snprintf(one, sizeof(one), "%.*s", (int)word.len, word.ptr);
		if (word.len > 0 && has_group(ctx, one))
			n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s", n ? ":" : "",
					      one);
		else if (!optional)
			return err_set(e, ERR_INVALID,
				       "ssl_ecdh_curve: OpenSSL has no group \"%s\"", one);
	}
	if (n == 0)
		return err_set(e, ERR_INVALID, "ssl_ecdh_curve: there is none");
	return SSL_CTX_set1_groups_list(ctx, list) == 1
		       ? 0
		       : err_openssl(e, ERR_INVALID, "ssl_ecdh_curve");
}

/* --- the rest --- */

static void prefer(SSL_CTX *ctx, bool server)
{
	if (server)
		SSL_CTX_set_options(ctx,
				    SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	else
		SSL_CTX_clear_options(ctx,
				      SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
}

int tls_profile_apply(SSL_CTX *ctx, const struct tls_profile *p, struct err *e)
{
	bool custom = p->suite == SUITE_CUSTOM;
	const char *ciphers = custom ? p->ciphers : suites[p->suite].ciphers;

	if (SSL_CTX_set_cipher_list(ctx, ciphers ? ciphers : intermediate) != 1)
		return err_openssl(e, ERR_INVALID, "ssl_ciphers");
	if (set_protocols(ctx, custom ? p->protocols : suites[p->suite].protocols, e) != 0 ||
	    set_groups(ctx, p->groups, e) != 0)
		return -1;
	prefer(ctx, custom ? p->prefer_server : suites[p->suite].prefer_server);
	SSL_CTX_set_timeout(ctx, p->session_seconds);
	if (p->tickets)
		return 0;
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	return SSL_CTX_set_num_tickets(ctx, 0) == 1
		       ? 0
		       : err_openssl(e, ERR_INTERNAL, "ssl_session_tickets");
}
