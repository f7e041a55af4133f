#include "common/pki/cert.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <time.h>

#include "common/pki/direct.h"
#include "common/pki/san.h"

enum { DNS_NAME_MAX = 255 };

int cert_from_der(X509 **out, struct str der, struct err *e)
{
	const unsigned char *p = (const unsigned char *)der.ptr;
	X509 *cert;

	if (der.len == 0 || der.len > INT_MAX)
		return err_set(e, ERR_INVALID, "invalid certificate: no bytes");
	cert = d2i_X509(NULL, &p, (long)der.len);
	if (!cert)
		return err_openssl(e, ERR_INVALID, "invalid certificate");
	if (p != (const unsigned char *)der.ptr + der.len) {
		X509_free(cert);
		return err_set(e, ERR_INVALID, "invalid certificate: bytes after its end");
	}
	*out = cert;
	return 0;
}

int cert_leaf_from_pem(X509 **out, struct str pem, struct err *e)
{
	struct pem_blocks blocks;
	int result;

	if (pem_parse(&blocks, pem, e) < 0)
		return err_prefix(e, "invalid certificate");
	if (blocks.count == 0)
		result = err_set(e, ERR_INVALID, "invalid certificate: no PEM block");
	else if (!str_ends(str_from(blocks.items[0].label), STR("CERTIFICATE")))
		result = err_set(e, ERR_INVALID, "invalid certificate: PEM block 1 is \"%s\"",
				 blocks.items[0].label);
	else
		result = cert_from_der(out, buf_str(&blocks.items[0].der), e);
	pem_free(&blocks);
	return result;
}

int cert_check_pem(struct str pem, struct err *e)
{
	struct pem_blocks blocks;
	X509 *leaf = NULL;

	if (pem_parse(&blocks, pem, NULL) == 0) {
		if (blocks.count > 0 && str_eq(str_from(blocks.items[0].label), STR("CERTIFICATE")))
			leaf = direct_cert(buf_str(&blocks.items[0].der));
		pem_free(&blocks);
	}
	if (!leaf && cert_leaf_from_pem(&leaf, pem, e) < 0)
		return -1;
	X509_free(leaf);
	return 0;
}

int cert_time(const ASN1_TIME *t, int64_t *out)
{
	struct tm tm;

	if (!t || ASN1_TIME_to_tm(t, &tm) != 1) {
		ERR_clear_error();
		return -1;
	}
	*out = (int64_t)timegm(&tm);
	return 0;
}

/* 0 for a time that cannot be read. */
static int64_t seconds_of(const ASN1_TIME *t)
{
	int64_t seconds;

	return cert_time(t, &seconds) == 0 ? seconds : 0;
}

static void hex_into(char *out, size_t size, const unsigned char *bytes, size_t n)
{
	for (size_t i = 0; i < n && (i + 1) * 2 < size; i++)
		(void)snprintf(out + i * 2, 3, "%02x", bytes[i]);
}

static void issuer_line(X509 *cert, char *out, size_t size)
{
	BIO *bio = BIO_new(BIO_s_mem());
	int n;

	if (!bio)
		return;
	/* RFC 2253 form escapes everything that is not printable ASCII, so that any cut is fine. */
	X509_NAME_print_ex(bio, X509_get_issuer_name(cert), 0, XN_FLAG_RFC2253);
	n = BIO_read(bio, out, (int)size - 1);
	out[n > 0 ? n : 0] = '\0';
	BIO_free(bio);
}

/* All but the fingerprint. */
static void info_of(X509 *cert, struct cert_info *out)
{
	const ASN1_INTEGER *serial = X509_get0_serialNumber(cert);

	memset(out, 0, sizeof(*out));
	out->not_before = seconds_of(X509_get0_notBefore(cert));
	out->not_after = seconds_of(X509_get0_notAfter(cert));
	hex_into(out->serial, sizeof(out->serial), ASN1_STRING_get0_data(serial),
		 (size_t)ASN1_STRING_length(serial));
	issuer_line(cert, out->issuer, sizeof(out->issuer));
}

void cert_info(X509 *cert, struct cert_info *out)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	info_of(cert, out);
	if (X509_digest(cert, EVP_sha256(), digest, &n) == 1)
		hex_into(out->fingerprint, sizeof(out->fingerprint), digest, n);
	ERR_clear_error();
}

void cert_info_der(X509 *cert, struct str der, struct cert_info *out)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	info_of(cert, out);
	if (EVP_Digest(der.ptr, der.len, digest, &n, EVP_sha256(), NULL) == 1)
		hex_into(out->fingerprint, sizeof(out->fingerprint), digest, n);
	ERR_clear_error();
}

bool cert_matches_key(X509 *cert, EVP_PKEY *key)
{
	EVP_PKEY *public_key = X509_get0_pubkey(cert);
	bool same = public_key && EVP_PKEY_eq(public_key, key) == 1;

	ERR_clear_error();
	return same;
}

const char *cert_key_algorithm(X509 *cert)
{
	EVP_PKEY *key = X509_get0_pubkey(cert);
	const char *name = key ? EVP_PKEY_get0_type_name(key) : NULL;

	ERR_clear_error();
	return name ? name : "unknown";
}

/* A dNSName as RFC 5280 and CAs write it: ASCII, no address, a star only as the whole first label.
 */
static int check_dns_name(struct str name, struct err *e)
{
	struct str rest = name;

	if (name.len == 0 || name.len > DNS_NAME_MAX)
		return err_set(e, ERR_INVALID, "a DNS name of %zu bytes", name.len);
	for (size_t i = 0; i < name.len; i++)
		if (name.ptr[i] <= ' ' || name.ptr[i] > '~')
			return err_set(e, ERR_INVALID, "a DNS name has byte 0x%02x inside",
				       (unsigned char)name.ptr[i]);
	if (str_starts(name, STR("*.")))
		rest = str_sub(name, 2, name.len);
	if (str_find(rest, '*', 0) < rest.len || rest.len == 0)
		return err_set(e, ERR_INVALID, "a wildcard must be the whole first label: %.*s",
			       (int)name.len, name.ptr);
	if (san_is_ip(name))
		return err_set(e, ERR_INVALID, "an address written as a DNS name: %.*s",
			       (int)name.len, name.ptr);
	return 0;
}

/* Decodes the extension; *out stays NULL when there is none. */
static int alternative_names(X509 *cert, GENERAL_NAMES **out, struct err *e)
{
	int critical = 0;
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, &critical, NULL);

	if (!names && critical == -2)
		return err_set(e, ERR_INVALID, "subject alternative names stand twice");
	if (!names && critical != -1)
		return err_openssl(e, ERR_INVALID, "unreadable subject alternative names");
	ERR_clear_error();
	*out = names;
	return 0;
}

static int visit_name(const GENERAL_NAME *g, int (*on_name)(struct str, void *, struct err *),
		      void *arg, struct err *e)
{
	char lower[DNS_NAME_MAX];
	struct str name;
	int kind;
	const ASN1_STRING *value = GENERAL_NAME_get0_value(g, &kind);

	if (kind != GEN_DNS)
		return 0;
	name = (struct str){(const char *)ASN1_STRING_get0_data(value),
			    (size_t)ASN1_STRING_length(value)};
	if (check_dns_name(name, e) < 0)
		return -1;
	for (size_t i = 0; i < name.len; i++)
		lower[i] = ascii_lower(name.ptr[i]);
	return on_name((struct str){lower, name.len}, arg, e);
}

int cert_dns_names(X509 *cert, int (*on_name)(struct str name, void *arg, struct err *e), void *arg,
		   struct err *e)
{
	GENERAL_NAMES *names = NULL;
	int result = 0;

	if (alternative_names(cert, &names, e) < 0)
		return -1;
	if (sk_GENERAL_NAME_num(names) > CERT_NAMES_MAX)
		result = err_set(e, ERR_LIMIT, "more than %d names", CERT_NAMES_MAX);
	for (int i = 0; result == 0 && i < sk_GENERAL_NAME_num(names); i++)
		result = visit_name(sk_GENERAL_NAME_value(names, i), on_name, arg, e);
	GENERAL_NAMES_free(names);
	return result;
}

struct cover {
	struct str host;
	bool found;
};

static int compare_name(struct str name, void *arg, struct err *e)
{
	struct cover *c = arg;
	size_t dot = str_find(c->host, '.', 0);

	(void)e;
	if (str_ieq(name, c->host))
		c->found = true;
	else if (str_starts(name, STR("*.")) && dot > 0 && dot < c->host.len)
		c->found = c->found ||
			   str_ieq(str_sub(name, 1, name.len), str_sub(c->host, dot, c->host.len));
	return 0;
}

bool cert_covers(X509 *cert, struct str host)
{
	struct cover c = {host, false};

	if (host.len > 0 && host.ptr[host.len - 1] == '.')
		c.host.len--;
	if (c.host.len == 0 || c.host.ptr[0] == '*' || san_is_ip(c.host))
		return false;
	return cert_dns_names(cert, compare_name, &c, NULL) == 0 && c.found;
}

bool cert_covers_address(X509 *cert, const char *address)
{
	return X509_check_ip_asc(cert, address, 0) == 1;
}
