/* Revocation (RFC 8555 7.6) and renewal information (RFC 9773). */
#include "common/core/clock.h"
#include "common/core/codec.h"
#include "common/pki/cert.h"
#include "tests/ca/ca.h"

enum { HALF_LIFE_BELOW_S = 10 * 86400 };

/* --- revokeCert --- */

static struct ca_certificate *find_by_der(struct ca *ca, const json_t *doc)
{
	struct buf der = BUF_INIT;
	const char *text = json_string_value(json_object_get(doc, "certificate"));
	struct ca_certificate *c = NULL;
	struct cert_info info;
	X509 *cert = NULL;

	if (text && base64url_decode(&der, str_from(text), NULL) == 0 &&
	    cert_from_der(&cert, buf_str(&der), NULL) == 0) {
		cert_info(cert, &info);
		c = map_get(&ca->by_serial, str_from(info.serial));
		X509_free(cert);
	}
	if (c && !str_eq(buf_str(&c->der), buf_str(&der)))
		c = NULL;
	buf_deinit(&der);
	return c;
}

static bool holds_all_names(struct ca *ca, const struct ca_account *account,
			    const struct ca_certificate *c)
{
	struct buf key = BUF_INIT;
	bool all = true;

	for (size_t i = 0; all && i < c->order->authz_count; i++) {
		const struct ca_authz *a = c->order->authzs[i], *held = NULL;

		buf_clear(&key);
		if (buf_addf(&key, NULL, "%zu|%s%s", account->id, a->wildcard ? "*." : "",
			     a->name) == 0)
			held = map_get(&ca->reusable, buf_str(&key));
		all = held && held->status == CA_VALID && held->expires > clock_wall_s();
	}
	buf_deinit(&key);
	return all;
}

static bool may_revoke(struct ca_request *q, const struct ca_certificate *c)
{
	X509 *cert = NULL;
	bool same = false;

	if (q->account)
		return c->order->account == q->account || holds_all_names(q->ca, q->account, c);
	if (cert_from_der(&cert, buf_str(&c->der), NULL) == 0)
		same = cert_matches_key(cert, q->jwk);
	X509_free(cert);
	return same;
}

/* Let's Encrypt takes unspecified, keyCompromise, superseded, cessationOfOperation. */
static bool reason_ok(const json_t *reason)
{
	json_int_t r = json_integer_value(reason);

	return !reason || (json_is_integer(reason) && (r == 0 || r == 1 || r == 4 || r == 5));
}

void ca_revoke(struct ca_request *q)
{
	struct ca_certificate *c = find_by_der(q->ca, q->json);
	const json_t *reason = json_object_get(q->json, "reason");

	if (!c) {
		ca_problem(q, 404, "malformed", "No such certificate");
	} else if (!may_revoke(q, c)) {
		ca_problem(q, 403, "unauthorized",
			   "The key ID specified in the revocation request does not hold valid "
			   "authorizations for all names in the certificate to be revoked");
	} else if (!reason_ok(reason)) {
		ca_problem(q, 400, "badRevocationReason",
			   "unsupported revocation reason code provided");
	} else if (c->revoked_at) {
		ca_problem(q, 400, "alreadyRevoked", "Certificate already revoked");
	} else {
		c->revoked_at = clock_wall_s();
		c->reason = json_integer_value(reason);
		ca_answer_text(q, 200, NULL, STR(""));
	}
}

/* --- ARI --- */

/* Let's Encrypt's rule: around two thirds of the lifetime, half for short ones, 2 % wide; now
 * overdue when revoked. */
static void window_of(const struct ca_certificate *c, int64_t *start, int64_t *end)
{
	const int64_t life = c->not_after - c->not_before;
	const int64_t middle = c->not_before + (life < HALF_LIFE_BELOW_S ? life / 2 : life * 2 / 3);

	*start = middle - life / 100;
	*end = middle + life / 100;
	if (*end <= *start)
		*end = *start + 1;
	if (c->revoked_at) {
		*start = c->revoked_at - 3600;
		*end = c->revoked_at - 1800;
	}
	if (c->window_end) {
		*start = c->window_start;
		*end = c->window_end;
	}
}

void ca_renewal_info(struct ca_request *q)
{
	struct ca_certificate *c = map_get(&q->ca->by_certid, q->rest);
	int64_t start, end;
	json_t *doc;

	if (!q->ca->settings.ari || !c) {
		ca_problem(q, 404, "malformed", "Certificate replacement info not found");
		return;
	}
	window_of(c, &start, &end);
	doc = json_pack("{s:{s:o, s:o}}", "suggestedWindow", "start", ca_time(start), "end",
			ca_time(end));
	if (c->explanation)
		json_object_set_new(doc, "explanationURL", json_string(c->explanation));
	ca_retry_after(q, q->ca->settings.ari_retry_after_s);
	ca_answer(q, 200, doc);
}
