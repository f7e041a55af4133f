#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "common/pki/cert.h"
#include "common/pki/direct.h"
#include "common/pki/key.h"

/* Pairs of certificate and key: checked when they come in by the API, unpacked when they go out. */

enum { SERIAL_BYTES_MAX = 21, CHALLENGE_SIZE = 32 }; /* RFC 5280 4.1.2.2, with a leading zero */

static const int64_t validity_max = 36525LL * 24 * 3600; /* 100 years */

static int no_op(struct str name, void *arg, struct err *e)
{
	(void)name;
	(void)arg;
	(void)e;
	return 0;
}

static bool weak_digest(int nid)
{
	static const int weak[] = {NID_md2, NID_md4, NID_md5, NID_mdc2, NID_sha1, NID_ripemd160};

	for (size_t i = 0; i < array_len(weak); i++)
		if (nid == weak[i])
			return true;
	return false;
}

static int check_signature_kind(X509 *cert, struct err *e)
{
	int digest = NID_undef, algorithm = NID_undef;

	if (OBJ_find_sigid_algs(X509_get_signature_nid(cert), &digest, &algorithm) != 1)
		return err_set(e, ERR_INVALID, "unknown signature algorithm");
	if (digest == NID_undef && algorithm == NID_rsassaPss)
		X509_get_signature_info(cert, &digest, NULL, NULL, NULL);
	ERR_clear_error();
	if (weak_digest(digest))
		return err_set(e, ERR_INVALID, "signed with %s; SHA-256 or better is needed",
			       OBJ_nid2sn(digest));
	return 0;
}

static int check_serial(X509 *cert, struct err *e)
{
	const ASN1_INTEGER *serial = X509_get0_serialNumber(cert);
	const unsigned char *bytes = ASN1_STRING_get0_data(serial);
	int n = ASN1_STRING_length(serial);

	if (ASN1_STRING_type(serial) == V_ASN1_NEG_INTEGER)
		return err_set(e, ERR_INVALID, "negative serial number");
	if (n > SERIAL_BYTES_MAX)
		return err_set(e, ERR_INVALID, "serial number of %d bytes", n);
	for (int i = 0; i < n; i++)
		if (bytes[i] != 0)
			return 0;
	return err_set(e, ERR_INVALID, "serial number zero");
}

static int check_dates(X509 *cert, struct err *e)
{
	struct cert_info info;

	if (ASN1_TIME_check(X509_get0_notBefore(cert)) != 1 ||
	    ASN1_TIME_check(X509_get0_notAfter(cert)) != 1)
		return err_set(e, ERR_INVALID, "unreadable dates");
	cert_info(cert, &info);
	if (info.not_after < info.not_before)
		return err_set(e, ERR_INVALID, "notAfter is before notBefore");
	if (info.not_after - info.not_before > validity_max)
		return err_set(e, ERR_INVALID, "valid for more than 100 years");
	return 0;
}

static bool self_issued(X509 *cert)
{
	return X509_NAME_cmp(X509_get_subject_name(cert), X509_get_issuer_name(cert)) == 0;
}

/* What every certificate of a pair must be. A root that ends a chain is trusted by its place in the
 * client's store, so its own signature and version do not count. */
static int check_one(X509 *cert, EVP_PKEY *key, bool leaf, struct err *e)
{
	if (!key)
		return err_openssl(e, ERR_INVALID, "unreadable public key");
	if (key_check_strength(key, e) < 0 || check_serial(cert, e) < 0 || check_dates(cert, e) < 0)
		return -1;
	if (!leaf && self_issued(cert))
		return 0;
	if (X509_get_version(cert) != X509_VERSION_3)
		return err_set(e, ERR_INVALID, "version %ld; version 3 is needed",
			       X509_get_version(cert) + 1);
	return check_signature_kind(cert, e);
}

/* Common names are not used for matching, but one with a NUL has only ever been an attack. */
static int check_common_names(X509 *cert, struct err *e)
{
	const X509_NAME *subject = X509_get_subject_name(cert);
	int at = -1;

	while ((at = X509_NAME_get_index_by_NID(subject, NID_commonName, at)) >= 0) {
		const ASN1_STRING *cn = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
		const unsigned char *bytes = ASN1_STRING_get0_data(cn);

		for (int i = 0; i < ASN1_STRING_length(cn); i++)
			if (bytes[i] < ' ' || bytes[i] > '~')
				return err_set(e, ERR_INVALID,
					       "the common name has byte 0x%02x inside", bytes[i]);
	}
	return 0;
}

static int check_issued(X509 *issuer, X509 *cert, struct err *e)
{
	int reason = X509_check_issued(issuer, cert);

	if (reason != X509_V_OK) {
		ERR_clear_error();
		return err_set(e, ERR_INVALID, "did not issue the certificate before it (%s)",
			       X509_verify_cert_error_string(reason));
	}
	if (X509_verify(cert, X509_get0_pubkey(issuer)) != 1) {
		ERR_clear_error();
		return err_set(e, ERR_INVALID,
			       "did not sign the certificate before it, although its name fits");
	}
	return 0;
}

/* Block i of the text as certificate number i; previous is the one before or NULL. */
static int take_block(struct pem_block *b, X509 *previous, X509 **out, struct err *e)
{
	struct str label = str_from(b->label);
	X509 *cert = NULL;

	if (str_ends(label, STR("PRIVATE KEY")))
		return err_set(e, ERR_INVALID, "a private key among the certificates");
	if (!str_eq(label, STR("CERTIFICATE")) && !str_eq(label, STR("X509 CERTIFICATE")))
		return err_set(e, ERR_INVALID, "\"%s\" is not a certificate", b->label);
	if (cert_from_der(&cert, buf_str(&b->der), e) < 0)
		return -1;
	if (check_one(cert, X509_get0_pubkey(cert), !previous, e) < 0 ||
	    (!previous &&
	     (cert_dns_names(cert, no_op, NULL, e) < 0 || check_common_names(cert, e) < 0)) ||
	    (previous && check_issued(cert, previous, e) < 0)) {
		X509_free(cert);
		return -1;
	}
	*out = cert;
	return 0;
}

/* Gives the block's bytes to *out. */
static void move_der(struct buf *out, struct pem_block *b)
{
	*out = b->der;
	buf_init(&b->der, 0);
}

static int count_blocks(const struct pem_blocks *blocks, struct err *e)
{
	if (blocks->count == 0)
		return err_set(e, ERR_INVALID, "invalid certificate: no PEM block");
	if (blocks->count > CERT_CHAIN_MAX + 1)
		return err_set(e, ERR_LIMIT, "invalid certificate: a chain of more than %d",
			       CERT_CHAIN_MAX);
	return 0;
}

static void move_all(struct cert_pair *out, struct pem_blocks *blocks)
{
	move_der(&out->leaf, &blocks->items[0]);
	for (size_t i = 1; i < blocks->count; i++)
		move_der(&out->chain[i - 1], &blocks->items[i]);
	out->chain_count = blocks->count - 1;
}

static int check_certificates(struct pem_blocks *blocks, X509 **leaf, struct err *e)
{
	X509 *previous = NULL;

	for (size_t i = 0; i < blocks->count; i++) {
		X509 *cert = NULL;

		if (take_block(&blocks->items[i], previous, &cert, e) < 0) {
			err_prefix(e, "invalid certificate: PEM block %zu (line %zu)", i + 1,
				   blocks->items[i].line);
			if (i > 1)
				X509_free(previous);
			X509_free(*leaf);
			*leaf = NULL;
			return -1;
		}
		if (i == 0)
			*leaf = cert;
		if (i > 1)
			X509_free(previous);
		previous = cert;
	}
	if (previous != *leaf)
		X509_free(previous);
	return 0;
}

/* Whether the private half of the key belongs to its public half: a signature tells. */
static bool key_signs(EVP_PKEY *key)
{
	unsigned char text[CHALLENGE_SIZE], signature[1024];
	size_t len = sizeof(signature);
	EVP_MD_CTX *sign = EVP_MD_CTX_new();
	EVP_MD_CTX *verify = EVP_MD_CTX_new();
	bool ok = false;

	if (sign && verify && RAND_bytes(text, sizeof(text)) == 1 &&
	    EVP_DigestSignInit(sign, NULL, EVP_sha256(), NULL, key) == 1 &&
	    EVP_DigestSign(sign, signature, &len, text, sizeof(text)) == 1 &&
	    EVP_DigestVerifyInit(verify, NULL, EVP_sha256(), NULL, key) == 1)
		ok = EVP_DigestVerify(verify, signature, len, text, sizeof(text)) == 1;
	EVP_MD_CTX_free(sign);
	EVP_MD_CTX_free(verify);
	ERR_clear_error();
	return ok;
}

static int check_key(struct buf *out, X509 *leaf, struct str key_pem, struct err *e)
{
	EVP_PKEY *key = NULL;
	int result = -1;

	if (key_from_pem(&key, key_pem, e) < 0)
		return -1;
	if (key_check_strength(key, e) < 0)
		err_prefix(e, "invalid key");
	else if (!cert_matches_key(leaf, key))
		err_set(e, ERR_INVALID, "certificate does not match key");
	else if (!key_signs(key))
		err_set(e, ERR_INVALID, "invalid key: its private and public parts differ");
	else
		result = key_to_der(out, key, e);
	EVP_PKEY_free(key);
	return result;
}

static void pair_init(struct cert_pair *p)
{
	memset(p, 0, sizeof(*p));
	p->key.secret = true;
}

/* --- the direct way: true when everything is surely right, else the general way has the word ---
 */

/* One certificate with its public key. */
struct direct {
	X509 *cert;
	EVP_PKEY *key;
	struct str der; /* the block's */
};

static void direct_free(struct direct *d)
{
	X509_free(d->cert);
	EVP_PKEY_free(d->key);
	*d = (struct direct){NULL, NULL, STR_NONE};
}

/* Block i; previous is the one before or NULL. */
static bool direct_block(const struct pem_block *b, const struct direct *previous,
			 struct direct *out)
{
	if (!str_eq(str_from(b->label), STR("CERTIFICATE")))
		return false;
	out->der = buf_str(&b->der);
	out->cert = direct_cert(out->der);
	out->key = out->cert ? direct_public(out->cert) : NULL;
	if (!out->key || check_one(out->cert, out->key, !previous, NULL) < 0)
		return false;
	if (previous)
		return direct_issued(out->cert, out->key, previous->cert, previous->der);
	return cert_dns_names(out->cert, no_op, NULL, NULL) == 0 &&
	       check_common_names(out->cert, NULL) == 0;
}

static bool direct_chain(const struct pem_blocks *blocks, struct direct *leaf)
{
	struct direct previous = {NULL, NULL, STR_NONE};
	bool ok = direct_block(&blocks->items[0], NULL, leaf);

	for (size_t i = 1; ok && i < blocks->count; i++) {
		struct direct d = {NULL, NULL, STR_NONE};

		ok = direct_block(&blocks->items[i], i == 1 ? leaf : &previous, &d);
		direct_free(&previous);
		previous = d;
	}
	direct_free(&previous);
	return ok;
}

static bool direct_key(struct buf *out, EVP_PKEY *leaf_key, const struct pem_blocks *blocks)
{
	EVP_PKEY *key = NULL;
	bool ok = false;

	if (blocks->count == 1)
		key = direct_private(str_from(blocks->items[0].label),
				     buf_str(&blocks->items[0].der));
	if (key && key_check_strength(key, NULL) == 0 && direct_same(leaf_key, key) &&
	    (EVP_PKEY_get_base_id(key) == EVP_PKEY_EC || key_signs(key)))
		ok = key_to_der(out, key, NULL) == 0;
	EVP_PKEY_free(key);
	return ok;
}

static bool direct_pair(struct cert_pair *pair, struct pem_blocks *blocks, struct str key_pem)
{
	struct direct leaf = {NULL, NULL, STR_NONE};
	struct pem_blocks key;
	bool ok = false;

	if (direct_chain(blocks, &leaf) && pem_parse(&key, key_pem, NULL) == 0) {
		ok = direct_key(&pair->key, leaf.key, &key);
		pem_free(&key);
	}
	if (ok) {
		cert_info_der(leaf.cert, buf_str(&blocks->items[0].der), &pair->info);
		move_all(pair, blocks);
	}
	direct_free(&leaf);
	ERR_clear_error();
	return ok;
}

int cert_pair_from_pem(struct cert_pair *out, struct str cert_pem, struct str key_pem,
		       struct err *e)
{
	struct pem_blocks blocks;
	struct cert_pair pair;
	X509 *leaf = NULL;
	int result = -1;

	pair_init(&pair);
	if (pem_parse(&blocks, cert_pem, e) < 0)
		return err_prefix(e, "invalid certificate");
	if (count_blocks(&blocks, e) == 0 && direct_pair(&pair, &blocks, key_pem)) {
		pem_free(&blocks);
		*out = pair;
		return 0;
	}
	buf_deinit(&pair.key);
	if (count_blocks(&blocks, e) == 0 && check_certificates(&blocks, &leaf, e) == 0 &&
	    check_key(&pair.key, leaf, key_pem, e) == 0) {
		move_all(&pair, &blocks);
		cert_info(leaf, &pair.info);
		*out = pair;
		result = 0;
	}
	if (result < 0)
		cert_pair_free(&pair);
	X509_free(leaf);
	pem_free(&blocks);
	return result;
}

/* The stored key as PKCS#8: as it is when it was stored so, else by way of OpenSSL. */
static int unpack_key(struct buf *out, struct str key_pem, struct err *e)
{
	struct pem_blocks blocks;
	EVP_PKEY *key = NULL;
	int result = -1;

	if (pem_parse(&blocks, key_pem, e) < 0)
		return err_prefix(e, "invalid key");
	if (blocks.count == 1 && str_eq(str_from(blocks.items[0].label), STR("PRIVATE KEY"))) {
		move_der(out, &blocks.items[0]);
		result = 0;
	} else if (key_from_pem(&key, key_pem, e) == 0) {
		result = key_to_der(out, key, e);
		EVP_PKEY_free(key);
	}
	pem_free(&blocks);
	return result;
}

int cert_pair_unpack(struct cert_pair *out, struct str cert_pem, struct str key_pem, struct err *e)
{
	struct pem_blocks blocks;
	struct cert_pair pair;
	int result = -1;

	pair_init(&pair);
	if (pem_parse(&blocks, cert_pem, e) < 0)
		return err_prefix(e, "invalid certificate");
	if (count_blocks(&blocks, e) == 0 && unpack_key(&pair.key, key_pem, e) == 0) {
		move_all(&pair, &blocks);
		*out = pair;
		result = 0;
	}
	pem_free(&blocks);
	return result;
}

static int check_chain(const struct str *chain, size_t count, struct err *e)
{
	if (count > CERT_CHAIN_MAX)
		return err_set(e, ERR_LIMIT, "a chain of more than %d", CERT_CHAIN_MAX);
	for (size_t i = 0; i < count; i++) {
		X509 *cert = NULL;

		if (cert_from_der(&cert, chain[i], e) < 0)
			return err_prefix(e, "chain certificate %zu", i + 1);
		X509_free(cert);
	}
	return 0;
}

int cert_pair_check_der(struct str leaf, const struct str *chain, size_t chain_count,
			struct str key, struct err *e)
{
	X509 *cert = NULL;
	EVP_PKEY *private_key = NULL;
	int result = -1;

	if (check_chain(chain, chain_count, e) < 0 || cert_from_der(&cert, leaf, e) < 0)
		return -1;
	if (key_from_der(&private_key, key, e) == 0) {
		if (cert_matches_key(cert, private_key))
			result = 0;
		else
			err_set(e, ERR_INVALID, "certificate does not match key");
	}
	EVP_PKEY_free(private_key);
	X509_free(cert);
	return result;
}

void cert_pair_free(struct cert_pair *p)
{
	buf_deinit(&p->leaf);
	for (size_t i = 0; i < array_len(p->chain); i++)
		buf_deinit(&p->chain[i]);
	buf_deinit(&p->key);
	memset(p, 0, sizeof(*p));
}
