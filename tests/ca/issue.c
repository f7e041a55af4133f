/* The authority's own certificates, CSRs, and what is issued. */
#include <openssl/x509v3.h>
#include <stdio.h>

#include "common/core/clock.h"
#include "common/core/codec.h"
#include "common/pki/cert.h"
#include "common/pki/key.h"
#include "tests/ca/ca.h"

enum { ROOT_LIFE_S = 10 * 365 * 86400, EARLIER_S = 86400 };

/* --- chain --- */

static int make_root(struct ca *ca, unsigned n, X509 **root, X509 **intermediate, struct err *e)
{
	char name[64];
	EVP_PKEY *key = NULL;
	struct cert_make m = {.common_name = name,
			      .ca = true,
			      .not_before = clock_wall_s() - EARLIER_S,
			      .not_after = clock_wall_s() + ROOT_LIFE_S};
	int rc = -1;

	snprintf(name, sizeof(name), "stand-in root %u", n);
	if (key_generate(&key, KEY_EC_P256, e) != 0)
		return -1;
	if (cert_make(root, &m, key, NULL, NULL, e) == 0) {
		snprintf(name, sizeof(name), "stand-in intermediate");
		rc = cert_make(intermediate, &m, ca->key, *root, key, e);
	}
	EVP_PKEY_free(key);
	return rc;
}

int ca_issue_setup(struct ca *ca, struct err *e)
{
	if (key_generate(&ca->key, KEY_EC_P256, e) != 0 ||
	    make_root(ca, 0, &ca->root, &ca->intermediate, e) != 0 ||
	    cert_to_pem(&ca->root_pem, ca->root, e) != 0 ||
	    cert_to_pem(&ca->chain_pem[0], ca->intermediate, e) != 0)
		return -1;
	for (unsigned i = 0; i < CA_ALTERNATES_MAX; i++)
		if (make_root(ca, i + 1, &ca->alternate_roots[i], &ca->alternates[i], e) != 0 ||
		    cert_to_pem(&ca->chain_pem[i + 1], ca->alternates[i], e) != 0)
			return -1;
	return 0;
}

/* --- CSRs --- */

struct names {
	char *items[CA_NAMES_MAX + 1];
	size_t count;
};

static void names_free(struct names *n)
{
	for (size_t i = 0; i < n->count; i++)
		free(n->items[i]);
	n->count = 0;
}

static bool names_have(const struct names *n, struct str name)
{
	for (size_t i = 0; i < n->count; i++)
		if (str_ieq(str_from(n->items[i]), name))
			return true;
	return false;
}

static void names_add(struct names *n, struct str name)
{
	if (n->count < CA_NAMES_MAX && name.len < CA_NAME_SIZE && !names_have(n, name))
		n->items[n->count++] = str_dup(name);
}

static void add_general_name(struct names *n, const GENERAL_NAME *g)
{
	char ip[ADDR_TEXT_SIZE] = "";
	const ASN1_STRING *s = g->type == GEN_DNS ? g->d.dNSName : g->d.iPAddress;
	struct addr a = {.u.sa.sa_family = AF_INET};

	if (g->type == GEN_DNS) {
		names_add(n, (struct str){(const char *)ASN1_STRING_get0_data(s),
					  (size_t)ASN1_STRING_length(s)});
		return;
	}
	if (g->type != GEN_IPADD)
		return;
	if (ASN1_STRING_length(s) == 4) {
		memcpy(&a.u.in4.sin_addr, ASN1_STRING_get0_data(s), 4);
	} else {
		a.u.sa.sa_family = AF_INET6;
		memcpy(&a.u.in6.sin6_addr, ASN1_STRING_get0_data(s), 16);
	}
	addr_ip_text(&a, ip, sizeof(ip));
	names_add(n, str_from(ip));
}

static void csr_names(struct names *n, X509_REQ *csr)
{
	STACK_OF(X509_EXTENSION) *extensions = X509_REQ_get_extensions(csr);
	GENERAL_NAMES *san = X509V3_get_d2i(extensions, NID_subject_alt_name, NULL, NULL);
	char cn[CA_NAME_SIZE];
	int len = X509_NAME_get_text_by_NID(X509_REQ_get_subject_name(csr), NID_commonName, cn,
					    sizeof(cn));

	for (int i = 0; i < sk_GENERAL_NAME_num(san); i++)
		add_general_name(n, sk_GENERAL_NAME_value(san, i));
	if (len > 0)
		names_add(n, str_from(cn));
	GENERAL_NAMES_free(san);
	sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
}

static void order_name(const struct ca_authz *a, char out[CA_NAME_SIZE + 2])
{
	snprintf(out, CA_NAME_SIZE + 2, "%s%s", a->wildcard ? "*." : "", a->name);
}

static bool same_names(const struct names *n, const struct ca_order *o)
{
	char name[CA_NAME_SIZE + 2];

	for (size_t i = 0; i < o->authz_count; i++) {
		order_name(o->authzs[i], name);
		if (!names_have(n, str_from(name)))
			return false;
	}
	return n->count == o->authz_count;
}

bool ca_csr_check(struct ca_request *q, struct ca_order *o, X509_REQ *csr)
{
	EVP_PKEY *key = X509_REQ_get0_pubkey(csr);
	struct names names = {.count = 0};
	struct err e = ERR_INIT;
	bool same;

	csr_names(&names, csr);
	same = same_names(&names, o);
	names_free(&names);
	if (!key || X509_REQ_verify(csr, key) != 1)
		ca_problem(q, 400, "badCSR", "Error finalizing order :: invalid signature on CSR");
	else if (key_check_strength(key, &e) != 0)
		ca_problem(q, 400, "badCSR", "Error finalizing order :: %s", e.message);
	else if (EVP_PKEY_eq(key, o->account->key) == 1)
		ca_problem(q, 400, "malformed",
			   "Certificate public key must be different than account key");
	else if (!same)
		ca_problem(
			q, 403, "unauthorized",
			"Error finalizing order :: CSR does not specify same identifiers as Order");
	else
		return true;
	return false;
}

/* --- issuing --- */

static int certid(char out[CA_CERTID_SIZE], X509 *cert)
{
	const ASN1_OCTET_STRING *aki = X509_get0_authority_key_id(cert);
	const ASN1_INTEGER *serial = X509_get0_serialNumber(cert);
	struct buf text = BUF_INIT;
	int rc = -1;

	/* Serials begin with a bit 01: no leading 00. */
	if (aki &&
	    base64url_encode(&text,
			     (struct str){(const char *)ASN1_STRING_get0_data(aki),
					  (size_t)ASN1_STRING_length(aki)},
			     NULL) == 0 &&
	    buf_add(&text, ".", 1, NULL) == 0 &&
	    base64url_encode(&text,
			     (struct str){(const char *)ASN1_STRING_get0_data(serial),
					  (size_t)ASN1_STRING_length(serial)},
			     NULL) == 0 &&
	    text.len < CA_CERTID_SIZE) {
		memcpy(out, text.data, text.len + 1);
		rc = 0;
	}
	buf_deinit(&text);
	return rc;
}

static void set_dates(const struct ca *ca, const struct ca_order *o, struct cert_make *m)
{
	const int64_t life = o->profile && o->profile->validity_s ? o->profile->validity_s
								  : ca->settings.validity_s;

	m->not_before = o->not_before ? o->not_before : clock_wall_s() - ca->settings.backdate_s;
	m->not_after = o->not_after ? o->not_after : m->not_before + life;
}

static int note_name(struct ca *ca, const struct ca_authz *a, size_t number)
{
	char name[CA_NAME_SIZE + 2];
	json_t *list;

	order_name(a, name);
	list = map_get(&ca->by_name, str_from(name));
	if (!list) {
		list = json_array();
		if (map_put(&ca->by_name, str_from(name), list, NULL, NULL) != 0)
			return -1;
	}
	return json_array_append_new(list, json_integer((json_int_t)number));
}

static int keep(struct ca *ca, struct ca_certificate *c, X509 *cert)
{
	struct cert_info info;

	cert_info(cert, &info);
	snprintf(c->serial, sizeof(c->serial), "%s", info.serial);
	if (cert_to_der(&c->der, cert, NULL) != 0 || certid(c->certid, cert) != 0 ||
	    map_put(&ca->by_certid, str_from(c->certid), c, NULL, NULL) != 0 ||
	    map_put(&ca->by_serial, str_from(c->serial), c, NULL, NULL) != 0)
		return -1;
	c->id = ca_table_add(&ca->certificates, c);
	for (size_t i = 0; i < c->order->authz_count; i++)
		if (note_name(ca, c->order->authzs[i], c->id) != 0)
			return -1;
	return 0;
}

struct ca_certificate *ca_issue(struct ca *ca, struct ca_order *o)
{
	char names[CA_NAMES_MAX][CA_NAME_SIZE + 2];
	const char *list[CA_NAMES_MAX + 1] = {NULL};
	struct cert_make m = {.names = list, .server = true};
	struct ca_certificate *c = calloc(1, sizeof(*c));
	X509 *cert = NULL;
	struct err e = ERR_INIT;

	for (size_t i = 0; i < o->authz_count; i++) {
		order_name(o->authzs[i], names[i]);
		list[i] = names[i];
	}
	set_dates(ca, o, &m);
	if (!c || cert_make(&cert, &m, X509_REQ_get0_pubkey(o->csr), ca->intermediate, ca->key,
			    &e) != 0) {
		free(c);
		return NULL;
	}
	c->order = o;
	c->not_before = m.not_before;
	c->not_after = m.not_after;
	if (keep(ca, c, cert) != 0)
		abort();
	X509_free(cert);
	return c;
}
