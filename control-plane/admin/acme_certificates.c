/* GET /acme/certificates and /acme/certificates/:host (kong-acme-hybrid.md 1.4): what the names
 * that Cardea keeps in date are served with. Kong's fields, and beside its SHA-1 digest the SHA-256
 * of the leaf; `host` is the name that was asked for (Kong: the subject's common name, without
 * which its list fails). In pages, by name; `invalid_only` leaves out what is inside its time. */
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/core/clock.h"
#include "common/pki/cert.h"
#include "control-plane/admin/fault.h"
#include "control-plane/admin/handlers.h"
#include "control-plane/admin/page.h"

enum { LIMIT_SIZE = 16, TIME_SIZE = 24, NAME_SIZE = 254, DIGEST_TEXT_SIZE = 3 * EVP_MAX_MD_SIZE };

/* $1: after this name, $2: so many, $3: this name only. */
static const char sql[] =
	"SELECT s.name AS host, c.cert, c.id FROM snis s JOIN certificates c ON c.id = "
	"s.certificate WHERE 'managed-by-acme' = ANY (c.tags) AND ($1::text IS NULL OR "
	"lower(s.name) > lower($1::text)) AND ($3::text IS NULL OR lower(s.name) = "
	"lower($3::text)) ORDER BY lower(s.name) LIMIT $2::bigint";

/* "2026-11-21 13:00:00", as Kong writes it. */
static void time_text(int64_t seconds, char out[TIME_SIZE])
{
	time_t t = (time_t)seconds;
	struct tm tm;

	if (!gmtime_r(&t, &tm) || strftime(out, TIME_SIZE, "%Y-%m-%d %H:%M:%S", &tm) == 0)
		out[0] = '\0';
}

/* Upper hex with colons. */
static json_t *hex_pairs(const unsigned char *bytes, size_t n)
{
	char text[DIGEST_TEXT_SIZE + 1] = "";

	for (size_t i = 0; i < n && 3 * i + 3 < sizeof(text); i++)
		snprintf(text + 3 * i, sizeof(text) - 3 * i, "%02X%s", bytes[i],
			 i + 1 < n ? ":" : "");
	return json_string(text);
}

static json_t *digest_of(const X509 *cert, const EVP_MD *md)
{
	unsigned char bytes[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	return X509_digest(cert, md, bytes, &n) == 1 ? hex_pairs(bytes, n) : json_null();
}

static json_t *serial_of(X509 *cert)
{
	const ASN1_INTEGER *serial = X509_get0_serialNumber(cert);

	return hex_pairs(ASN1_STRING_get0_data(serial), (size_t)ASN1_STRING_length(serial));
}

static json_t *issuer_of(X509 *cert)
{
	char text[256];
	int n = X509_NAME_get_text_by_NID(X509_get_issuer_name(cert), NID_commonName, text,
					  sizeof(text));

	return n >= 0 ? json_string(text) : json_null();
}

static const char *key_kind(X509 *cert)
{
	const char *name = OBJ_nid2ln(EVP_PKEY_get_base_id(X509_get0_pubkey(cert)));

	return name ? name : "";
}

/* As Kong shows it; NULL when the certificate cannot be read. */
static json_t *show(const json_t *row, bool *valid)
{
	const json_t *pem = json_object_get(row, "cert");
	char not_before[TIME_SIZE], not_after[TIME_SIZE];
	int64_t now = clock_wall_s();
	struct cert_info info;
	X509 *cert = NULL;
	json_t *out;

	if (cert_leaf_from_pem(&cert, (struct str){json_string_value(pem), json_string_length(pem)},
			       NULL) < 0)
		return NULL;
	cert_info(cert, &info);
	time_text(info.not_before, not_before);
	time_text(info.not_after, not_after);
	*valid = now >= info.not_before && now < info.not_after;
	out = json_pack("{s:O, s:o, s:s, s:s, s:b, s:o, s:o, s:o, s:s, s:{s:O}}", "host",
			json_object_get(row, "host"), "issuer_cn", issuer_of(cert), "not_before",
			not_before, "not_after", not_after, "valid", *valid, "digest",
			digest_of(cert, EVP_sha1()), "digest_sha256", digest_of(cert, EVP_sha256()),
			"serial_number", serial_of(cert), "pubkey_type", key_kind(cert),
			"certificate", "id", json_object_get(row, "id"));
	X509_free(cert);
	return out;
}

static bool have_rows(struct admin_request *r, const struct store_result *res)
{
	if (!admin_resume(r))
		return false;
	if (res->fault != STORE_OK)
		fault_reply(r, NULL, res);
	return res->fault == STORE_OK;
}

static void on_page(const struct store_result *res, void *arg)
{
	struct admin_request *r = arg;
	json_t *data, *page, *row, *shown;
	bool valid;
	size_t i;

	if (!have_rows(r, res))
		return;
	data = json_array();
	page = page_make(data);
	json_array_foreach(res->rows, i, row)
	{
		if (i == r->page_size) {
			row = json_array_get(res->rows, i - 1);
			page_add_next(r, page, json_pack("[O]", json_object_get(row, "host")),
				      true);
			break;
		}
		shown = show(row, &valid);
		if (shown && valid && admin_query(r, "invalid_only").ptr)
			json_decref(shown);
		else if (shown)
			json_array_append_new(data, shown);
	}
	admin_reply(r, 200, page);
}

static bool possible(struct admin_request *r)
{
	if (store_read_only(r->ctx->store))
		admin_reply_message(r, 405, "there are none when not using a database");
	return !store_read_only(r->ctx->store);
}

void acme_api_certificates(struct admin_request *r)
{
	const char *params[3] = {NULL};
	char limit[LIMIT_SIZE], name[NAME_SIZE];
	json_t *key = NULL;

	if (!possible(r) || !page_size(r, &r->page_size) || !page_offset_text(r, &key))
		return;
	if (key) {
		snprintf(name, sizeof(name), "%s", json_string_value(key));
		params[0] = name;
	}
	json_decref(key);
	snprintf(limit, sizeof(limit), "%u", r->page_size + 1);
	params[1] = limit;
	admin_suspend(r);
	store_query(r->ctx->store, sql, params, array_len(params), on_page, r);
}

static void on_certificate(const struct store_result *res, void *arg)
{
	struct admin_request *r = arg;
	json_t *shown;
	bool valid;

	if (!have_rows(r, res))
		return;
	if (json_array_size(res->rows) == 0) {
		admin_reply_message(r, 404, "Certificate for host %.*s not found",
				    (int)r->segments[2].len, r->segments[2].ptr);
		return;
	}
	shown = show(json_array_get(res->rows, 0), &valid);
	if (shown)
		admin_reply(r, 200, json_pack("{s:o}", "data", shown));
	else
		fault_internal(r);
}

void acme_api_certificate(struct admin_request *r)
{
	char host[NAME_SIZE];
	const char *params[] = {NULL, "1", host};

	if (!possible(r))
		return;
	if (r->segments[2].len >= sizeof(host)) {
		admin_reply_message(r, 404, "Not found");
		return;
	}
	snprintf(host, sizeof(host), "%.*s", (int)r->segments[2].len, r->segments[2].ptr);
	admin_suspend(r);
	store_query(r->ctx->store, sql, params, array_len(params), on_certificate, r);
}
