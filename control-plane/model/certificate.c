/* certificates: one or two pairs of chain and key, and the names they are served for
 * (kong-admin-api.md 2.1). PEM text is kept byte for byte. */
#include "control-plane/model/certificate.h"

#include <stdlib.h>

#include "common/core/codec.h"
#include "common/pki/cert.h"
#include "common/pki/key.h"
#include "common/pki/staple.h"
#include "control-plane/model/entity.h"
#include "control-plane/model/host.h"

static struct str text_of(const json_t *value)
{
	return (struct str){json_string_value(value), json_string_length(value)};
}

static struct str member(const json_t *entity, const char *name)
{
	return text_of(json_object_get(entity, name));
}

/* What curl sends for --data 'cert=@file': the name and not what is in the file. */
static bool is_file_name(const json_t *value)
{
	return json_string_value(value)[0] == '@';
}

int certificate_check_cert(const json_t *value, struct err *e)
{
	if (is_file_name(value))
		return err_set(e, ERR_INVALID,
			       "invalid certificate: a file's name instead of PEM text (curl sends "
			       "the content with --form)");
	return cert_check_pem(text_of(value), e);
}

int certificate_check_key(const json_t *value, struct err *e)
{
	if (is_file_name(value))
		return err_set(e, ERR_INVALID,
			       "invalid key: a file's name instead of PEM text (curl sends the "
			       "content with --form)");
	return key_check_pem(text_of(value), e);
}

static int check_staple(const json_t *value, struct err *e)
{
	struct buf der = BUF_INIT;
	int64_t from, until;
	int rc;

	buf_init(&der, STAPLE_MAX + 1);
	if (base64_decode(&der, text_of(value), NULL) != 0)
		rc = err_set(e, ERR_INVALID,
			     "must be base64 of the DER of an OCSP response, at most %d bytes",
			     STAPLE_MAX);
	else
		rc = staple_span(buf_str(&der), &from, &until, e);
	buf_deinit(&der);
	return rc;
}

static int check_snis(const json_t *value, struct err *e)
{
	json_t *seen = json_object();
	const json_t *item;
	int rc = seen ? 0 : err_memory(e, "checking snis");
	size_t i;

	json_array_foreach(value, i, item)
	{
		char lower[256];
		struct str name = text_of(item);

		/* The element's check keeps names below 254 bytes. */
		for (size_t k = 0; k < name.len && k < sizeof(lower); k++)
			lower[k] = ascii_lower(name.ptr[k]);
		if (rc == 0 && json_object_getn(seen, lower, name.len))
			rc = err_set(e, ERR_INVALID, "%s is duplicated", name.ptr);
		if (rc < 0)
			break;
		if (json_object_setn_new(seen, lower, name.len, json_true()) < 0)
			rc = err_memory(e, "checking snis");
	}
	json_decref(seen);
	return rc;
}

static const struct field sni_elements = {
	.name = "sni",
	.type = FIELD_STRING,
	.flags = FIELD_REQUIRED,
	.check = host_check_wildcard,
};

static const struct field fields[] = {
	{
		.name = "cert",
		.type = FIELD_STRING,
		.flags = FIELD_REQUIRED,
		.check = certificate_check_cert,
	},
	{
		.name = "key",
		.type = FIELD_STRING,
		.flags = FIELD_REQUIRED | FIELD_SECRET,
		.check = certificate_check_key,
	},
	{.name = "cert_alt", .type = FIELD_STRING, .check = certificate_check_cert},
	{.name = "key_alt",
	 .type = FIELD_STRING,
	 .flags = FIELD_SECRET,
	 .check = certificate_check_key},
	{.name = "ocsp_response", .type = FIELD_STRING, .check = check_staple},
	{.name = "ocsp_response_alt", .type = FIELD_STRING, .check = check_staple},
	{
		.name = "snis",
		.type = FIELD_ARRAY,
		.flags = FIELD_TRANSIENT,
		.elements = &sni_elements,
		.check = check_snis,
	},
};

/* Whether the leaf and the key are those of one pair; else says what is wrong with them. */
static bool belongs(struct str cert, struct str key, const char *cert_path, const char *mismatch,
		    struct violations *v)
{
	struct err e = ERR_INIT;
	EVP_PKEY *private = NULL;
	X509 *leaf = NULL;
	bool ok = false;

	if (cert_leaf_from_pem(&leaf, cert, &e) < 0 || key_from_pem(&private, key, &e) < 0)
		violations_add(v, cert_path, "%s", e.message);
	else if (!cert_matches_key(leaf, private))
		violations_add_entity(v, "%s", mismatch);
	else
		ok = true;
	X509_free(leaf);
	EVP_PKEY_free(private);
	return ok;
}

/* The pair's key must be the leaf's; then whatever else a data plane would refuse (chain order,
 * weak keys) is refused here, where somebody can mend it. */
void certificate_check_pair(struct str cert, struct str key, const char *cert_path,
			    const char *mismatch, struct violations *v)
{
	struct cert_pair *pair = calloc(1, sizeof(*pair));
	struct err e = ERR_INIT;

	if (!pair)
		v->no_memory = true;
	else if (cert_pair_from_pem(pair, cert, key, &e) == 0)
		cert_pair_free(pair);
	else if (belongs(cert, key, cert_path, mismatch, v))
		violations_add(v, cert_path, "%s", e.message);
	free(pair);
}

/* Two certificates of one key type: a client could never get the second. */
static void check_types(const json_t *entity, struct violations *v)
{
	X509 *first = NULL, *second = NULL;

	if (cert_leaf_from_pem(&first, member(entity, "cert"), NULL) == 0 &&
	    cert_leaf_from_pem(&second, member(entity, "cert_alt"), NULL) == 0 &&
	    strcmp(cert_key_algorithm(first), cert_key_algorithm(second)) == 0) /* not secret */
		violations_add_entity(
			v, "certificate and alternative certificate need to have different type "
			   "(e.g. RSA and ECDSA), the provided certificates were both of the same "
			   "type");
	X509_free(first);
	X509_free(second);
}

static const struct {
	const char *staple, *cert;
} staples[] = {{"ocsp_response", "cert"}, {"ocsp_response_alt", "cert_alt"}};

static int check_staple_of(struct str staple, const struct pem_blocks *certs, struct err *e)
{
	struct buf der = BUF_INIT;
	X509 *leaf = NULL, *issuer = NULL;
	int rc = -1;

	if (cert_from_der(&leaf, buf_str(&certs->items[0].der), e) == 0 &&
	    (certs->count < 2 || cert_from_der(&issuer, buf_str(&certs->items[1].der), e) == 0) &&
	    base64_decode(&der, staple, e) == 0)
		rc = staple_check(buf_str(&der), leaf, issuer, e);
	X509_free(leaf);
	X509_free(issuer);
	buf_deinit(&der);
	return rc;
}

/* cert: of pairs that were checked. */
static void check_staple_for(struct str staple, struct str cert, const char *path,
			     struct violations *v)
{
	struct pem_blocks certs;
	struct err e = ERR_INIT;
	int rc;

	if (pem_parse(&certs, cert, &e) != 0) {
		violations_add(v, path, "%s", e.message);
		return;
	}
	rc = check_staple_of(staple, &certs, &e);
	pem_free(&certs);
	if (rc != 0)
		violations_add(v, path, "%s", e.message);
}

static void check_staples(const json_t *entity, struct violations *v)
{
	for (size_t i = 0; i < array_len(staples); i++) {
		struct str staple = member(entity, staples[i].staple);
		struct str cert = member(entity, staples[i].cert);

		if (staple.ptr && !cert.ptr)
			violations_add(v, staples[i].staple, "there is no %s", staples[i].cert);
		else if (staple.ptr)
			check_staple_for(staple, cert, staples[i].staple, v);
	}
}

static void check(const json_t *entity, struct violations *v)
{
	bool cert_alt = member(entity, "cert_alt").ptr;
	bool key_alt = member(entity, "key_alt").ptr;

	if (cert_alt != key_alt)
		violations_add_entity(v, "all or none of these fields must be set: 'cert_alt', "
					 "'key_alt'");
	certificate_check_pair(member(entity, "cert"), member(entity, "key"), "cert",
			       "certificate does not match key", v);
	if (!violations_any(v))
		check_staples(entity, v);
	if (!cert_alt || !key_alt)
		return;
	certificate_check_pair(member(entity, "cert_alt"), member(entity, "key_alt"), "cert_alt",
			       "alternative certificate does not match key", v);
	check_types(entity, v);
}

/* What was said of a certificate goes with it, unless something is said of the new one. */
static void prepare(json_t *input, const json_t *old, struct violations *v)
{
	for (size_t i = 0; old && i < array_len(staples); i++) {
		const json_t *cert = json_object_get(input, staples[i].cert);

		if (cert && !json_equal(cert, json_object_get(old, staples[i].cert)) &&
		    json_is_string(json_object_get(old, staples[i].staple)) &&
		    !json_object_get(input, staples[i].staple) &&
		    json_object_set_new(input, staples[i].staple, json_null()) < 0)
			v->no_memory = true;
	}
}

static const char *const all_or_none[] = {"cert_alt", "key_alt", NULL};

const struct entity entity_certificates = {
	.name = "certificates",
	.singular = "certificate",
	.fields = fields,
	.field_count = array_len(fields),
	.prepare = prepare,
	.check = check,
	.all_or_none = all_or_none,
	.has_tags = true,
	.pushed = true,
};
