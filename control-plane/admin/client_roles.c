#include "control-plane/admin/client_roles.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

static const struct {
	struct str prefix;
	int general; /* GEN_*; -1: not an alternative name */
	bool caseless;
} kinds[CLIENT_NAMES] = {
	[CLIENT_CN] = {STR("cn="), -1, false},
	[CLIENT_DNS] = {STR("dns="), GEN_DNS, true},
	[CLIENT_EMAIL] = {STR("email="), GEN_EMAIL, false},
	[CLIENT_URI] = {STR("uri="), GEN_URI, false},
	[CLIENT_ANY] = {STR("*"), -1, false},
};

/* --- the key's text --- */

static int parse_role(struct client_role *out, struct str text, struct err *e)
{
	struct str plus = STR("+keys");

	out->keys = str_ends(text, plus);
	if (out->keys)
		text.len -= plus.len;
	if (role_parse(text, &out->role, e) < 0)
		return -1;
	if (out->keys && !role_takes_keys(out->role))
		return err_set(e, ERR_INVALID, "only operator takes +keys");
	out->keys = out->keys || out->role == ROLE_ADMIN;
	return 0;
}

static int parse_name(struct client_role *out, struct str text, struct err *e)
{
	for (size_t i = 0; i < CLIENT_NAMES; i++) {
		struct str prefix = kinds[i].prefix;

		if (!str_starts(text, prefix) || (text.len == prefix.len) != (i == CLIENT_ANY))
			continue;
		out->kind = (enum client_name)i;
		out->name = str_sub(text, prefix.len, text.len);
		return 0;
	}
	return err_set(e, ERR_INVALID, "expected cn=, dns=, email= or uri= with a name, or *");
}

static int parse_entry(struct client_role *out, struct str text, struct err *e)
{
	size_t colon = str_find(text, ':', 0);

	if (colon == text.len)
		return err_set(e, ERR_INVALID, "expected ROLE:NAME");
	if (parse_role(out, str_trim(str_sub(text, 0, colon)), e) < 0)
		return -1;
	return parse_name(out, str_trim(str_sub(text, colon + 1, text.len)), e);
}

int client_roles_parse(struct client_roles *out, const char *text, struct err *e)
{
	struct str rest = str_from(text), entry;

	out->count = 0;
	while (str_split(&rest, ',', &entry)) {
		entry = str_trim(entry);
		if (out->count == CLIENT_ROLES_MAX)
			return err_set(e, ERR_INVALID, "more than %d entries", CLIENT_ROLES_MAX);
		if (parse_entry(&out->items[out->count], entry, e) < 0)
			return err_prefix(e, "\"%.*s\"", (int)(entry.len < 80 ? entry.len : 80),
					  entry.ptr);
		out->count++;
	}
	return 0;
}

/* --- certificates --- */

static bool same(const struct client_role *r, const ASN1_STRING *value)
{
	/* With its length: a NUL inside must not end the name. */
	struct str name = {(const char *)ASN1_STRING_get0_data(value),
			   (size_t)ASN1_STRING_length(value)};

	return kinds[r->kind].caseless ? str_ieq(name, r->name) : str_eq(name, r->name);
}

static bool has_common_name(const struct client_role *r, X509 *cert)
{
	const X509_NAME *subject = X509_get_subject_name(cert);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	unsigned char *utf8 = NULL;
	bool found;
	int len;

	if (at < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0)
		return false;
	len = ASN1_STRING_to_UTF8(&utf8,
				  X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
	if (len < 0)
		return false;
	found = str_eq((struct str){(const char *)utf8, (size_t)len}, r->name);
	OPENSSL_free(utf8);
	return found;
}

static bool has_alternative(const struct client_role *r, const GENERAL_NAMES *names)
{
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		int kind;
		const ASN1_STRING *value =
			GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &kind);

		if (kind == kinds[r->kind].general && same(r, value))
			return true;
	}
	return false;
}

const struct client_role *client_roles_find(const struct client_roles *roles, X509 *cert)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	const struct client_role *found = NULL;

	for (size_t i = 0; !found && i < roles->count; i++) {
		const struct client_role *r = &roles->items[i];

		if (r->kind == CLIENT_ANY || (r->kind == CLIENT_CN && has_common_name(r, cert)) ||
		    (kinds[r->kind].general >= 0 && has_alternative(r, names)))
			found = r;
	}
	GENERAL_NAMES_free(names);
	ERR_clear_error();
	return found;
}

void client_subject(X509 *cert, char out[CLIENT_SUBJECT_SIZE])
{
	BIO *bio = BIO_new(BIO_s_mem());
	int n = 0;

	/* This form escapes everything that is not printable ASCII, so that any cut is fine. */
	if (bio && X509_NAME_print_ex(bio, X509_get_subject_name(cert), 0, XN_FLAG_RFC2253) >= 0)
		n = BIO_read(bio, out, CLIENT_SUBJECT_SIZE - 1);
	if (n > 0)
		out[n] = '\0';
	else
		snprintf(out, CLIENT_SUBJECT_SIZE, "-");
	BIO_free(bio);
	ERR_clear_error();
}
