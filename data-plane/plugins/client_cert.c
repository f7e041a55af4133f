#include "data-plane/plugins/client_cert.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "common/core/clock.h"
#include "common/core/codec.h"
#include "common/pki/cert.h"

/* --- verification --- */

static int check_sent(X509 *leaf, STACK_OF(X509) * sent, struct err *e)
{
	int count = sk_X509_num(sent);
	long bytes = i2d_X509(leaf, NULL);

	if (count > CLIENT_CERT_CHAIN_MAX)
		return err_set(e, ERR_DENIED, "more than %d certificates were sent",
			       CLIENT_CERT_CHAIN_MAX);
	for (int i = 0; i < count; i++)
		bytes += i2d_X509(sk_X509_value(sent, i), NULL);
	if (bytes > CLIENT_CERT_CHAIN_BYTES)
		return err_set(e, ERR_DENIED, "the certificates that were sent have %ld bytes",
			       bytes);
	return 0;
}

static int set_up(X509_STORE_CTX *x, X509 *leaf, STACK_OF(X509) * sent,
		  const struct client_cert_trust *t, struct err *e)
{
	X509_VERIFY_PARAM *p;

	/* Without a store there is nothing but the anchors, whatever the system trusts. */
	if (!X509_STORE_CTX_init(x, NULL, leaf, sent))
		return err_openssl(e, ERR_MEMORY, "verifying a client's certificate");
	X509_STORE_CTX_set0_trusted_stack(x, t->anchors);
	p = X509_STORE_CTX_get0_param(x);
	X509_VERIFY_PARAM_set_time(p, (time_t)clock_wall_s());
	X509_VERIFY_PARAM_set_depth(p, CLIENT_CERT_DEPTH_MAX);
	X509_VERIFY_PARAM_set_auth_level(p, CLIENT_CERT_AUTH_LEVEL);
	X509_VERIFY_PARAM_set_flags(
		p, X509_V_FLAG_TRUSTED_FIRST |
			   (t->allow_partial_chain ? X509_V_FLAG_PARTIAL_CHAIN : 0));
	if (!X509_VERIFY_PARAM_set_purpose(p, X509_PURPOSE_SSL_CLIENT) ||
	    !X509_VERIFY_PARAM_set_trust(p, X509_TRUST_SSL_CLIENT))
		return err_openssl(e, ERR_INTERNAL, "verifying a client's certificate");
	return 0;
}

int client_cert_verify(X509 *leaf, STACK_OF(X509) * sent, const struct client_cert_trust *t,
		       STACK_OF(X509) * *chain, struct err *e)
{
	X509_STORE_CTX *x;
	int result = -1;

	if (check_sent(leaf, sent, e) < 0)
		return -1;
	if (sk_X509_num(t->anchors) <= 0)
		return err_set(e, ERR_DENIED, "no authority is trusted");
	x = X509_STORE_CTX_new();
	if (!x)
		return err_memory(e, "verifying a client's certificate");
	if (set_up(x, leaf, sent, t, e) == 0) {
		if (X509_verify_cert(x) == 1)
			result = 0;
		else
			err_set(e, ERR_DENIED, "%s (at depth %d)",
				X509_verify_cert_error_string(X509_STORE_CTX_get_error(x)),
				X509_STORE_CTX_get_error_depth(x));
	}
	if (result == 0 && chain) {
		STACK_OF(X509) *got = X509_STORE_CTX_get1_chain(x);

		if (got)
			*chain = got;
		else
			result = err_memory(e, "a client's chain");
	}
	X509_STORE_CTX_free(x);
	ERR_clear_error();
	return result;
}

/* --- names --- */

static bool is_usable(struct str s)
{
	if (s.len == 0 || s.len > CLIENT_CERT_NAME_MAX)
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] <= ' ' || s.ptr[i] > '~')
			return false;
	return true;
}

/* The IA5 text of a kind of name that counts; STR_NONE: of another kind. */
static struct str text_of(const GENERAL_NAME *name)
{
	int type = 0;
	const ASN1_STRING *value = GENERAL_NAME_get0_value(name, &type);

	if (type != GEN_DNS && type != GEN_EMAIL && type != GEN_URI)
		return STR_NONE;
	return (struct str){(const char *)ASN1_STRING_get0_data(value),
			    (size_t)ASN1_STRING_length(value)};
}

static int add_alternative_names(const GENERAL_NAMES *names, struct arena *a, struct str *items,
				 size_t *count)
{
	for (int i = 0; i < sk_GENERAL_NAME_num(names) && *count < CLIENT_CERT_NAMES_MAX; i++) {
		struct str text = text_of(sk_GENERAL_NAME_value(names, i));

		if (!is_usable(text))
			continue;
		items[*count] = arena_str(a, text);
		if (!items[*count].ptr)
			return -1;
		(*count)++;
	}
	return 0;
}

/* Spaces are part of many common names. */
static bool is_usable_common_name(struct str s)
{
	if (s.len == 0 || s.len > CLIENT_CERT_NAME_MAX || s.ptr[0] == ' ' ||
	    s.ptr[s.len - 1] == ' ')
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] < ' ' || s.ptr[i] > '~')
			return false;
	return true;
}

/* The most specific one: the last. */
static int add_common_name(X509 *cert, struct arena *a, struct str *items, size_t *count)
{
	const X509_NAME *subject = X509_get_subject_name(cert);
	int at = -1;
	int last = -1;
	unsigned char *utf8 = NULL;
	int len;

	while ((at = X509_NAME_get_index_by_NID(subject, NID_commonName, at)) >= 0)
		last = at;
	if (last < 0)
		return 0;
	len = ASN1_STRING_to_UTF8(&utf8,
				  X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, last)));
	if (len < 0)
		return 0;
	if (is_usable_common_name((struct str){(char *)utf8, (size_t)len})) {
		items[*count] = arena_str(a, (struct str){(char *)utf8, (size_t)len});
		if (!items[*count].ptr)
			len = -1;
		else
			(*count)++;
	}
	OPENSSL_free(utf8);
	return len < 0 ? -1 : 0;
}

int client_cert_names(X509 *cert, struct arena *a, struct client_cert_names *out, struct err *e)
{
	struct str *items = arena_alloc(a, CLIENT_CERT_NAMES_MAX * sizeof(*items));
	int critical = 0;
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, &critical, NULL);
	size_t count = 0;
	int rc = -1;

	if (items && names)
		rc = add_alternative_names(names, a, items, &count);
	else if (items && critical == -1) /* -1: there is no such extension */
		rc = add_common_name(cert, a, items, &count);
	else if (items)
		rc = 0; /* unreadable, or twice: nobody's */
	GENERAL_NAMES_free(names);
	ERR_clear_error();
	if (rc < 0)
		return err_memory(e, "the names of a client");
	*out = (struct client_cert_names){items, count};
	return 0;
}

/* --- as text --- */

static struct str taken(BIO *bio, struct arena *a)
{
	char *data = NULL;
	long len = BIO_get_mem_data(bio, &data);

	return len < 0 ? STR_NONE : arena_str(a, (struct str){data ? data : "", (size_t)len});
}

struct str client_cert_dn(const X509_NAME *name, struct arena *a)
{
	BIO *bio = BIO_new(BIO_s_mem());
	struct str out = STR_NONE;

	/* Control bytes and all that is not ASCII come out escaped. */
	if (bio && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0)
		out = taken(bio, a);
	BIO_free(bio);
	return out;
}

struct str client_cert_serial(X509 *cert, struct arena *a)
{
	BIGNUM *n = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert), NULL);
	char *hex = n ? BN_bn2hex(n) : NULL;
	struct str out = hex ? arena_str(a, str_from(hex)) : STR_NONE;

	OPENSSL_free(hex);
	BN_free(n);
	return out;
}

struct str client_cert_fingerprint(X509 *cert, struct arena *a)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	struct buf hex = BUF_INIT;
	struct str out = STR_NONE;

	if (X509_digest(cert, EVP_sha1(), digest, &len) &&
	    hex_encode(&hex, (struct str){(char *)digest, len}, NULL) == 0)
		out = arena_str(a, buf_str(&hex));
	buf_deinit(&hex);
	return out;
}

static bool is_unreserved(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '.' || c == '_' || c == '~';
}

struct str client_cert_escaped_pem(X509 *cert, struct arena *a)
{
	static const char digits[] = "0123456789ABCDEF";
	struct buf pem = BUF_INIT;
	struct str out = STR_NONE;
	char *text = NULL;
	size_t n = 0;

	if (cert_to_pem(&pem, cert, NULL) == 0)
		text = arena_alloc(a, 3 * pem.len + 1);
	for (size_t i = 0; text && i < pem.len; i++) {
		unsigned char c = (unsigned char)pem.data[i];

		if (is_unreserved((char)c)) {
			text[n++] = (char)c;
			continue;
		}
		text[n++] = '%';
		text[n++] = digits[c >> 4];
		text[n++] = digits[c & 0xF];
	}
	if (text)
		out = (struct str){text, n};
	buf_deinit(&pem);
	return out;
}
