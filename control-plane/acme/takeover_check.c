/* Pure but for the clock: what one key and its value say. */
#include <stdarg.h>
#include <stdio.h>

#include "common/core/clock.h"
#include "common/pki/key.h"
#include "control-plane/acme/install_internal.h"
#include "control-plane/acme/jwk.h"
#include "control-plane/acme/takeover_internal.h"

void takeover_end_item(struct take_item *i, enum take_result r, const char *fmt, ...)
{
	va_list args;

	i->result = r;
	i->why.kind = ERR_INVALID;
	va_start(args, fmt);
	vsnprintf(i->why.message, sizeof(i->why.message), fmt, args);
	va_end(args);
}

static void refuse(struct take_item *i, const struct err *e)
{
	i->result = TAKE_REFUSED;
	i->why = *e;
}

/* The kind of key that a renewal asks for, as the one that is there. */
static const char *type_of_key(EVP_PKEY *key)
{
	static const struct {
		int base, bits;
		enum key_type type;
	} rows[] = {
		{EVP_PKEY_EC, 256, KEY_EC_P256},    {EVP_PKEY_EC, 384, KEY_EC_P384},
		{EVP_PKEY_RSA, 2048, KEY_RSA_2048}, {EVP_PKEY_RSA, 3072, KEY_RSA_3072},
		{EVP_PKEY_RSA, 4096, KEY_RSA_4096},
	};

	for (size_t i = 0; key && i < array_len(rows); i++)
		if (EVP_PKEY_get_base_id(key) == rows[i].base &&
		    EVP_PKEY_get_bits(key) == rows[i].bits)
			return key_type_name(rows[i].type);
	return NULL;
}

int takeover_read_leaf(struct take_item *i, X509 *leaf, struct err *e)
{
	if (install_check_names(leaf, str_from(i->host), e) != 0)
		return -1;
	cert_info(leaf, &i->info);
	if (renewal_id(i->ari_id, leaf, NULL) != 0)
		i->ari_id[0] = '\0';
	i->key_type = type_of_key(X509_get0_pubkey(leaf));
	if (i->info.not_after <= clock_wall_s())
		return err_set(e, ERR_INVALID,
			       "the certificate has expired: ask for another one "
			       "(POST /acme)");
	return 0;
}

static int check_certificate(struct take_item *i, struct err *e)
{
	struct cert_pair pair;
	X509 *leaf = NULL;
	int rc;

	if (kong_read_certificate(buf_str(&i->value), &i->cert, &i->key_pem, e) != 0 ||
	    cert_pair_from_pem(&pair, buf_str(&i->cert), buf_str(&i->key_pem), e) != 0)
		return -1;
	cert_pair_free(&pair);
	if (cert_leaf_from_pem(&leaf, buf_str(&i->cert), e) != 0)
		return -1;
	rc = takeover_read_leaf(i, leaf, e);
	X509_free(leaf);
	return rc;
}

/* Kong serves by a record's key; the host in it is the same, or somebody else wrote it. */
static int check_host(struct take_item *i, struct err *e)
{
	char host[TAKEOVER_HOST_SIZE];
	struct buf text = BUF_INIT;
	int64_t expire_at;
	int rc = kong_read_host(buf_str(&i->value), &text, &expire_at, e);

	if (rc == 0)
		rc = acme_host(buf_str(&text), host, e);
	if (rc == 0 && !str_eq(str_from(host), str_from(i->host)))
		rc = err_set(e, ERR_INVALID, "the value is of another host than its key");
	buf_deinit(&text);
	return rc;
}

/* One that is known, or as Kong makes it of the address. Consul and Vault lose slashes: there it
 * has to be known. */
static int find_directory(const struct takeover *t, struct str uri, struct buf *out, struct err *e)
{
	const char *name;
	json_t *known, *config;
	int rc;

	json_object_foreach(t->known, name, known)
	{
		if (kong_uri_is(uri, str_from(name)))
			return buf_add_str(out, str_from(json_string_value(known)), e);
	}
	if (!str_starts(uri, STR("https://")) && !str_starts(uri, STR("http://")))
		return err_set(e, ERR_INVALID,
			       "the key does not tell the authority's address any more: give it as "
			       "api_uri");
	config = json_pack("{s:s%}", "api_uri", uri.ptr, uri.len);
	rc = config ? policy_directory(config, out, e) : err_memory(e, "an account");
	json_decref(config);
	return rc;
}

static int read_account(const struct takeover *t, struct take_item *i, struct str name,
			struct err *e)
{
	struct str uri;
	int rc;

	if (kong_account_read(name, &uri, &i->email, e) != 0)
		return -1;
	rc = find_directory(t, uri, &i->directory, e);
	return rc == 0 ? url_gate(buf_str(&i->directory), t->acme->conf.allow_private, e) : -1;
}

static int check_account(const struct takeover *t, struct take_item *i, struct str name,
			 struct err *e)
{
	struct buf pem = {.secret = true};
	EVP_PKEY *key = NULL;
	int rc = read_account(t, i, name, e);

	if (rc == 0)
		rc = kong_read_account_key(buf_str(&i->value), &pem, e);
	if (rc == 0)
		rc = jwk_or_pem_key(&key, buf_str(&pem), e);
	if (rc == 0)
		rc = key_to_der(&i->der, key, e);
	EVP_PKEY_free(key);
	buf_deinit(&pem);
	return rc;
}

void takeover_check(struct takeover *t, struct take_item *i)
{
	struct kong_key k = kong_key_read(i->key);
	struct err e = ERR_INIT;
	int rc;

	if (i->result != TAKE_PENDING)
		return;
	if (k.kind == KONG_ACCOUNT)
		rc = check_account(t, i, k.name, &e);
	else
		rc = acme_host(k.name, i->host, &e);
	if (rc == 0 && k.kind == KONG_CERTIFICATE)
		rc = check_certificate(i, &e);
	if (rc == 0 && k.kind == KONG_HOST)
		rc = check_host(i, &e);
	if (rc != 0)
		refuse(i, &e);
}
