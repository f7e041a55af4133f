/* Accounts: made, found, changed, bound to outside accounts, given another key (RFC 8555 7.3). */
#include "common/core/codec.h"
#include "tests/ca/ca.h"

enum { CONTACTS_MAX = 10 };

static json_t *account_doc(const struct ca_request *q, const struct ca_account *a)
{
	json_t *doc =
		json_pack("{s:s, s:O, s:o}", "status", a->deactivated ? "deactivated" : "valid",
			  "contact", a->contact, "orders", ca_url(q, "/orders/", a->id));

	if (a->eab)
		json_object_set(doc, "externalAccountBinding", a->eab);
	return doc;
}

static bool contact_ok(struct ca_request *q, const json_t *contact)
{
	const json_t *v;
	size_t i;

	if (json_array_size(contact) > CONTACTS_MAX) {
		ca_problem(q, 400, "malformed", "too many contacts");
		return false;
	}
	json_array_foreach(contact, i, v)
	{
		struct str s = str_from(json_string_value(v));

		if (!str_starts(s, STR("mailto:"))) {
			ca_problem(q, 400, "unsupportedContact",
				   "contact method is not supported: only mailto is");
			return false;
		}
		if (str_find(s, '@', 0) == s.len || str_find(s, ',', 0) < s.len ||
		    str_find(s, '?', 0) < s.len) {
			ca_problem(q, 400, "invalidContact", "contact email \"%s\" is invalid",
				   s.ptr);
			return false;
		}
	}
	return true;
}

/* --- external account binding --- */

static bool eab_fail(struct ca_request *q, const char *text)
{
	ca_problem(q, 403, "unauthorized", "external account binding: %s", text);
	return false;
}

static bool eab_ok(struct ca_request *q, const json_t *eab)
{
	struct buf payload = BUF_INIT;
	json_t *header = NULL, *jwk = NULL;
	const char *kid = NULL, *text = NULL;
	const struct buf *mac;
	struct err e = ERR_INIT;

	if (ca_jws_open(eab, &header, &payload, &e) != 0) {
		text = "not a JWS";
		goto done;
	}
	kid = json_string_value(json_object_get(header, "kid"));
	mac = kid ? map_get(&q->ca->macs, str_from(kid)) : NULL;
	jwk = json_loadb(payload.data ? payload.data : "", payload.len, 0, NULL);
	if (!str_eq(str_from(json_string_value(json_object_get(header, "alg"))), STR("HS256")))
		text = "its algorithm is not HS256";
	else if (json_object_get(header, "nonce"))
		text = "it has a nonce";
	else if (!json_equal(json_object_get(header, "url"), json_object_get(q->header, "url")))
		text = "its url is another";
	else if (!jwk || !json_equal(jwk, json_object_get(q->header, "jwk")))
		text = "its payload is another key";
	else if (!mac)
		text = "the key identifier is not known";
	else if (ca_jws_verify_mac(eab, buf_str(mac), &e) != 0)
		text = "it does not verify";
done:
	json_decref(header);
	json_decref(jwk);
	buf_deinit(&payload);
	return !text || eab_fail(q, text);
}

/* --- newAccount --- */

static struct ca_account *make_account(struct ca_request *q, const char *thumbprint)
{
	struct ca_account *a = calloc(1, sizeof(*a));
	const json_t *contact = json_object_get(q->json, "contact");

	if (!a)
		return NULL;
	memcpy(a->thumbprint, thumbprint, CA_THUMBPRINT_SIZE);
	a->contact = contact ? json_deep_copy(contact) : json_array();
	a->eab = json_deep_copy(json_object_get(q->json, "externalAccountBinding"));
	a->key = q->jwk;
	q->jwk = NULL;
	a->id = ca_table_add(&q->ca->accounts, a);
	if (map_put(&q->ca->by_thumbprint, str_from(a->thumbprint), a, NULL, NULL) != 0)
		return NULL;
	return a;
}

static void answer_account(struct ca_request *q, unsigned status, const struct ca_account *a)
{
	json_t *url = ca_url(q, "/account/", a->id);

	ca_field(q, "location", "%s", json_string_value(url));
	json_decref(url);
	ca_answer(q, status, account_doc(q, a));
}

void ca_new_account(struct ca_request *q)
{
	const json_t *eab = json_object_get(q->json, "externalAccountBinding");
	char thumbprint[CA_THUMBPRINT_SIZE];
	struct ca_account *a;

	EVP_PKEY_free(ca_jwk_read(json_object_get(q->header, "jwk"), thumbprint));
	a = map_get(&q->ca->by_thumbprint, str_from(thumbprint));
	if (a && a->deactivated) {
		ca_problem(q, 403, "unauthorized",
			   "An account with the provided public key exists but is deactivated");
	} else if (a) {
		answer_account(q, 200, a);
	} else if (json_is_true(json_object_get(q->json, "onlyReturnExisting"))) {
		ca_problem(q, 400, "accountDoesNotExist",
			   "No account exists with the provided key");
	} else if (q->ca->settings.tos_required &&
		   !json_is_true(json_object_get(q->json, "termsOfServiceAgreed"))) {
		ca_field(q, "link", "<https://ca.example/terms/v1>;rel=\"terms-of-service\"");
		ca_problem(q, 403, "userActionRequired", "must agree to terms of service");
	} else if (!contact_ok(q, json_object_get(q->json, "contact"))) {
		return;
	} else if (q->ca->settings.eab_required && !eab) {
		ca_problem(q, 403, "externalAccountRequired",
			   "the server requires external account binding");
	} else if ((!eab || eab_ok(q, eab)) && ca_limit_account(q)) {
		a = make_account(q, thumbprint);
		if (a)
			answer_account(q, 201, a);
		else
			ca_problem(q, 500, "serverInternal", "out of memory");
	}
}

/* --- an account --- */

void ca_account(struct ca_request *q)
{
	struct ca_account *a = q->account;
	json_t *contact = json_object_get(q->json, "contact");
	const char *status = json_string_value(json_object_get(q->json, "status"));

	if (ca_table_get(&q->ca->accounts, q->rest) != a) {
		ca_problem(q, 403, "unauthorized", "Request signing key did not match account key");
		return;
	}
	if (status && str_eq(str_from(status), STR("deactivated"))) {
		a->deactivated = true;
	} else if (status && !str_eq(str_from(status), STR("valid"))) {
		ca_problem(q, 400, "malformed", "Invalid value provided for status field");
		return;
	}
	if (contact) {
		if (!contact_ok(q, contact))
			return;
		json_decref(a->contact);
		a->contact = json_deep_copy(contact);
	}
	ca_answer(q, 200, account_doc(q, a));
}

void ca_account_orders(struct ca_request *q)
{
	json_t *urls = json_array();

	if (ca_table_get(&q->ca->accounts, q->rest) != q->account) {
		json_decref(urls);
		ca_problem(q, 403, "unauthorized", "not your orders");
		return;
	}
	for (size_t i = 0; i < q->account->order_count && i < 1000; i++)
		json_array_append_new(urls, ca_url(q, "/order/", q->account->orders[i]));
	ca_answer(q, 200, json_pack("{s:o}", "orders", urls));
}

/* --- keyChange --- */

/* The inner JWS is signed by the new key and names the account and the old one. */
static const char *inner_fault(const struct ca_request *q, const json_t *header,
			       const struct buf *payload, EVP_PKEY *key)
{
	json_t *inner = json_loadb(payload->data ? payload->data : "", payload->len, 0, NULL);
	const json_t *account = json_object_get(inner, "account");
	char old[CA_THUMBPRINT_SIZE];
	const char *fault = NULL;
	struct err e = ERR_INIT;

	EVP_PKEY_free(ca_jwk_read(json_object_get(inner, "oldKey"), old));
	if (!key || ca_jws_verify(q->json, key, &e) != 0)
		fault = "the inner JWS does not verify with its jwk";
	else if (json_object_get(header, "nonce"))
		fault = "the inner JWS has a nonce";
	else if (!json_equal(json_object_get(header, "url"), json_object_get(q->header, "url")))
		fault = "the inner JWS has another url";
	else if (!json_equal(account, json_object_get(q->header, "kid")))
		fault = "the inner JWS names another account";
	else if (!str_eq(str_from(old), str_from(q->account->thumbprint)))
		fault = "oldKey is not the account's key";
	json_decref(inner);
	return fault;
}

static void take_key(struct ca_request *q, EVP_PKEY *key, const char *thumbprint)
{
	struct ca_account *a = q->account;

	map_remove(&q->ca->by_thumbprint, str_from(a->thumbprint));
	memcpy(a->thumbprint, thumbprint, CA_THUMBPRINT_SIZE);
	if (map_put(&q->ca->by_thumbprint, str_from(thumbprint), a, NULL, NULL) != 0)
		ca_problem(q, 500, "serverInternal", "out of memory");
	EVP_PKEY_free(a->key);
	EVP_PKEY_up_ref(key);
	a->key = key;
	ca_answer(q, 200, account_doc(q, a));
}

void ca_key_change(struct ca_request *q)
{
	struct buf payload = BUF_INIT;
	json_t *header = NULL;
	EVP_PKEY *key = NULL;
	char thumbprint[CA_THUMBPRINT_SIZE] = "";
	struct ca_account *other;
	const char *fault = "the payload is not a JWS";
	struct err e = ERR_INIT;

	if (q->json && ca_jws_open(q->json, &header, &payload, &e) == 0) {
		key = ca_jwk_read(json_object_get(header, "jwk"), thumbprint);
		fault = inner_fault(q, header, &payload, key);
	}
	other = map_get(&q->ca->by_thumbprint, str_from(thumbprint));
	if (fault) {
		ca_problem(q, 400, "malformed", "%s", fault);
	} else if (other) {
		json_t *url = ca_url(q, "/account/", other->id);

		ca_field(q, "location", "%s", json_string_value(url));
		json_decref(url);
		ca_problem(q, 409, "malformed",
			   "New key is already in use for a different account");
	} else {
		take_key(q, key, thumbprint);
	}
	EVP_PKEY_free(key);
	json_decref(header);
	buf_deinit(&payload);
}
