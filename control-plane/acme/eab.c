/* External account bindings (RFC 8555 section 7.3.4): the JWS, and ZeroSSL's way to get one for an
 * e-mail address: POST email=..., answered with 200 also when it is refused.
 *
 * What came is stored, sealed, before the CA hears of it: it is asked for once per account. */
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>

#include "common/core/log.h"
#include "control-plane/acme/account_internal.h"
#include "control-plane/acme/fetch.h"
#include "control-plane/acme/jws.h"

/* --- the JWS --- */

static int header(struct buf *out, const char *kid, const char *url, struct err *e)
{
	json_t *o = json_pack("{s:s, s:s, s:s}", "alg", "HS256", "kid", kid, "url", url);
	char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	int rc = text ? base64url_encode(out, str_from(text), e)
		      : err_set(e, ERR_INVALID, "eab_kid is not UTF-8");

	json_decref(o);
	free(text);
	return rc;
}

int eab_sign(struct buf *out, const char *kid, struct str hmac_base64url, EVP_PKEY *key,
	     const char *url, struct err *e)
{
	struct buf secret = {.secret = true}, jwk = BUF_INIT, input = BUF_INIT, text = BUF_INIT;
	unsigned char mac[32];
	unsigned len = sizeof(mac);
	size_t header_len;
	int rc = -1;

	if (base64url_decode(&secret, hmac_base64url, NULL) != 0 || secret.len == 0) {
		err_set(e, ERR_INVALID, "eab_hmac_key is not base64url");
		goto done;
	}
	if (jws_jwk(&jwk, key, e) != 0 || header(&input, kid, url, e) != 0)
		goto done;
	header_len = input.len;
	if (buf_add_str(&input, STR("."), e) != 0 ||
	    base64url_encode(&input, buf_str(&jwk), e) != 0)
		goto done;
	if (!HMAC(EVP_sha256(), secret.data, (int)secret.len, (unsigned char *)input.data,
		  input.len, mac, &len))
		err_openssl(e, ERR_INTERNAL, "HMAC failed");
	else if (base64url_encode(&text, (struct str){(char *)mac, len}, e) == 0)
		rc = buf_addf(out, e,
			      "{\"protected\":\"%.*s\",\"payload\":\"%s\",\"signature\":\"%s\"}",
			      (int)header_len, input.data, input.data + header_len + 1, text.data);
done:
	buf_deinit(&secret);
	buf_deinit(&jwk);
	buf_deinit(&input);
	buf_deinit(&text);
	return rc;
}

/* --- fetching one --- */

static void give_up(struct account *a, const char *why)
{
	struct problem p;

	problem_own(&p, "account", "no external account binding from %s: %s", a->conf.eab_url, why);
	a->eab_then(a, &p);
}

static void on_stored(const struct store_result *r, void *arg)
{
	struct account *a = arg;

	if (!account_awoke(a))
		return;
	if (r->fault != STORE_OK)
		give_up(a, r->err.message);
	else
		a->eab_then(a, NULL);
}

static int store(struct account *a, struct err *e)
{
	struct buf sealed = BUF_INIT;
	char context[64];
	int rc;

	snprintf(context, sizeof(context), "acme_accounts.eab:%s", a->id);
	rc = store_seal(a->conf.store, str_from(context), buf_str(&a->eab_hmac), &sealed, e);
	if (rc == 0) {
		const char *params[] = {a->id, a->eab_kid, sealed.data};

		account_query(
			a,
			"UPDATE acme_accounts SET eab_kid = $2, eab_hmac = $3::bytea WHERE id = $1",
			params, array_len(params), on_stored, a);
	}
	buf_deinit(&sealed);
	return rc;
}

/* False: it is refused, or no binding. */
static bool take(struct account *a, const json_t *o)
{
	const char *kid = json_string_value(json_object_get(o, "eab_kid"));
	const char *hmac = json_string_value(json_object_get(o, "eab_hmac_key"));
	const json_t *success = json_object_get(o, "success");

	if (!kid || !kid[0] || !hmac || !hmac[0] || strlen(kid) >= sizeof(a->eab_kid) ||
	    json_object_get(o, "error") || json_is_false(success))
		return false;
	memcpy(a->eab_kid, kid, strlen(kid) + 1);
	buf_clear(&a->eab_hmac);
	return buf_add_str(&a->eab_hmac, str_from(hmac), NULL) == 0;
}

static void refused(struct account *a, unsigned status, const json_t *o)
{
	const json_t *error = json_object_get(o, "error");
	const char *type = json_string_value(json_object_get(error, "type"));
	char why[200];

	snprintf(why, sizeof(why), "it answered with status %u%s%.120s", status, type ? ", " : "",
		 type ? type : "");
	give_up(a, why);
}

static void on_reply(const struct fetch_reply *r, void *arg)
{
	struct account *a = arg;
	struct err e = ERR_INIT;
	json_t *o;

	a->fetch = NULL;
	if (r->err.kind != ERR_NONE) {
		give_up(a, r->err.message);
		return;
	}
	o = json_loadb(r->body.ptr, r->body.len, JSON_REJECT_DUPLICATES, NULL);
	if (r->status != 200 || !take(a, o))
		refused(a, r->status, o);
	else if (store(a, &e) != 0)
		give_up(a, e.message);
	json_decref(o);
}

/* application/x-www-form-urlencoded */
static int form(struct buf *out, const char *email)
{
	if (buf_add_str(out, STR("email="), NULL) != 0)
		return -1;
	for (const char *c = email; *c; c++)
		if (buf_addf(out, NULL, "%%%02X", (unsigned char)*c) != 0)
			return -1;
	return 0;
}

void eab_fetch(struct account *a, void (*then)(struct account *a, const struct problem *p))
{
	struct fetch_request r = {.method = FETCH_POST,
				  .url = a->conf.eab_url,
				  .content_type = "application/x-www-form-urlencoded",
				  .accept = "application/json"};
	struct buf body = BUF_INIT;
	struct err e = ERR_INIT;

	a->eab_then = then;
	if (form(&body, a->conf.email) != 0) {
		give_up(a, "out of memory");
	} else {
		r.body = buf_str(&body);
		if (fetch_start(&a->fetch, a->conf.fetcher, &r, on_reply, a, &e) != 0)
			give_up(a, e.message);
	}
	buf_deinit(&body);
}
