/* A stand-in ACME authority for tests and measurements: RFC 8555, 8737, 8738 and 9773 as Let's
 * Encrypt and Pebble speak them, everything in memory, every look-up O(1), one process, one thread.
 *
 *   account -> order -> authorizations -> challenges --(validate.c)--> valid -> finalize ->
 * certificate
 *
 * All objects live until the process ends. Objects are found by their number, which is in their
 * URL. URLs are built from the Host of the request, so that a proxy may stand before it.
 */
#ifndef CARDEA_TESTS_CA_H
#define CARDEA_TESTS_CA_H

#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/core/list.h"
#include "common/core/map.h"
#include "common/core/str.h"
#include "common/http/session.h"
#include "common/net/addr.h"
#include "common/net/loop.h"

enum {
	CA_NAMES_MAX = 100,
	CA_NAME_SIZE = 254,
	CA_TOKEN_SIZE = 44,
	CA_THUMBPRINT_SIZE = 44,
	CA_CERTID_SIZE = 128,
	CA_ADDRESSES_MAX = 16,
	CA_ALTERNATES_MAX = 4,
	CA_PROFILES_MAX = 8,
};

enum ca_status {
	CA_PENDING,
	CA_READY,
	CA_PROCESSING,
	CA_VALID,
	CA_INVALID,
	CA_DEACTIVATED,
	CA_EXPIRED,
	CA_REVOKED,
	CA_STATUSES,
};
const char *ca_status_name(enum ca_status s);

/* Grows, never shrinks; item n is the object with number n. */
struct ca_table {
	void **items;
	size_t count, cap;
};
size_t ca_table_add(struct ca_table *t, void *item);
/* NULL when text is not the number of one. */
void *ca_table_get(const struct ca_table *t, struct str text);

struct ca_account {
	size_t id;
	EVP_PKEY *key;
	char thumbprint[CA_THUMBPRINT_SIZE];
	json_t *contact, *eab;
	bool deactivated;
	size_t *orders; /* numbers */
	size_t order_count, order_cap;
};

enum ca_method { CA_HTTP01, CA_TLSALPN01, CA_METHODS };
const char *ca_method_name(enum ca_method m);

struct ca_challenge {
	enum ca_status status;
	char token[CA_TOKEN_SIZE];
	json_t *error;
	int64_t validated;
};

struct ca_authz {
	size_t id;
	struct ca_account *account;
	char *name; /* without "*." */
	bool ip, wildcard;
	enum ca_status status;
	int64_t expires;
	struct ca_challenge challenges[CA_METHODS];
	struct ca_order *order; /* that made it */
};

struct ca_certificate;
struct ca_order {
	size_t id;
	struct ca_account *account;
	struct ca_authz **authzs;
	size_t authz_count;
	enum ca_status status;
	json_t *error;
	int64_t expires, not_before, not_after; /* the last two 0: not asked for */
	const struct ca_profile *profile;
	char *replaces;
	char *set; /* "account|name,name" */
	struct ca_certificate *certificate;
	X509_REQ *csr; /* while processing */
	struct timer timer;
	struct ca *ca;
};

struct ca_certificate {
	size_t id;
	struct ca_order *order;
	struct buf der;
	char serial[64]; /* hex */
	char certid[CA_CERTID_SIZE];
	int64_t not_before, not_after;
	int64_t revoked_at; /* 0: is not */
	int64_t reason;
	bool replaced;
	int64_t window_start, window_end; /* moved by hand; 0: by the rule */
	char *explanation;
};

struct ca_profile {
	char name[32];
	int64_t validity_s; /* 0: settings.validity_s */
	bool ip;	    /* may hold addresses */
	char description[128];
};

/* Every knob is a number with a name: on the command line and through the management port. */
struct ca_settings {
	int64_t validity_s, backdate_s;
	int64_t perspectives, validate_ms, issue_ms, sync_issue;
	int64_t retry_after_s, retry_after_order_s, retry_after_date;
	int64_t eab_required, tos_required;
	int64_t authz_reuse, authz_life_s, order_reuse, order_life_s;
	int64_t alternates, nonce_reject, ari, ari_retry_after_s;
	int64_t limit_accounts, limit_accounts_s; /* 0: no limit */
	int64_t limit_orders, limit_orders_s;
	int64_t limit_domain, limit_domain_s;
	int64_t limit_set, limit_set_s;
	int64_t limit_failures, limit_failures_s;
	int64_t pause_after; /* failures in a row; 0: never */
};
void ca_settings_init(struct ca_settings *s);
int ca_settings_put(struct ca_settings *s, const char *name, int64_t value,
		    struct err *e) must_check;
json_t *ca_settings_json(const struct ca_settings *s);

/* Which nonces were given and not used yet: a bit each of the newest ones. */
enum { CA_NONCES = 1 << 20, CA_NONCE_SIZE = 24 };
struct ca_nonces {
	uint64_t next;
	unsigned char tag[8]; /* of this process */
	unsigned char used[CA_NONCES / 8];
};

struct ca_counts {
	uint64_t validation_requests, validations, failed_validations;
	uint64_t orders[CA_STATUSES];
	uint64_t bad_nonces, rate_limited, tls_connections;
};

struct ca {
	struct loop loop;
	struct ca_settings settings;
	struct http_server acme, manage;
	struct listener *acme_listener, *manage_listener;
	SSL_CTX *tls, *probe_tls;
	char manage_base[ADDR_TEXT_SIZE + 8];

	EVP_PKEY *key; /* of the intermediate */
	X509 *root, *intermediate;
	X509 *alternate_roots[CA_ALTERNATES_MAX], *alternates[CA_ALTERNATES_MAX];
	struct buf root_pem, chain_pem[1 + CA_ALTERNATES_MAX];

	struct addr http_at[CA_ADDRESSES_MAX], tls_at[CA_ADDRESSES_MAX];
	size_t http_count, tls_count;
	struct map resolve; /* name -> struct ca_route */
	struct ca_profile profiles[CA_PROFILES_MAX];
	size_t profile_count;
	struct map macs; /* EAB kid -> struct buf */

	struct ca_table accounts, orders, authzs, certificates;
	struct map by_thumbprint, by_serial, by_certid;
	struct map by_name;   /* name -> json array of certificate numbers */
	struct map reusable;  /* "account|name" -> valid authz */
	struct map open_sets; /* set -> order that is pending or ready */
	struct map limits;    /* key -> struct bucket */
	struct map failures;  /* "account|name" -> failures in a row */
	struct map paused;    /* the same key -> itself */
	struct ca_nonces nonces;
	struct ca_counts counts;
	json_t *requests; /* endpoint -> count */
	json_t *answers;  /* status -> count */
};

/* One request, until its exchange ends. */
struct ca_request {
	struct ca *ca;
	struct exchange *x;
	void (*run)(struct ca_request *q);
	const struct ca_endpoint *endpoint;
	struct str rest; /* of the path, behind the endpoint's */
	struct buf body;
	struct http_fields fields; /* of the answer */
	/* After the JWS was checked. */
	struct ca_account *account;
	EVP_PKEY *jwk; /* instead of an account */
	json_t *header;
	struct buf payload;
	json_t *json; /* payload parsed; NULL: POST-as-GET */
};

/* http.c: each answers once. doc is taken. */
void ca_field(struct ca_request *q, const char *name, const char *fmt, ...) printf_like(3, 4);
void ca_answer(struct ca_request *q, unsigned status, json_t *doc);
void ca_answer_text(struct ca_request *q, unsigned status, const char *type, struct str text);
void ca_problem(struct ca_request *q, unsigned status, const char *type, const char *fmt, ...)
	printf_like(4, 5);
void ca_problem_doc(struct ca_request *q, unsigned status, json_t *doc);
json_t *ca_problem_json(unsigned status, const char *type, const char *fmt, ...) printf_like(3, 4);
/* "https://host/path/number" */
json_t *ca_url(const struct ca_request *q, const char *path, size_t number);
void ca_retry_after(struct ca_request *q, int64_t seconds);
json_t *ca_time(int64_t seconds);
/* manage.c */
void ca_manage_dispatch(struct ca_request *q);
extern const struct http_handler ca_acme_handler, ca_manage_handler;

/* nonce.c */
int ca_nonces_init(struct ca_nonces *n, struct err *e) must_check;
void ca_nonce_make(struct ca_nonces *n, char out[CA_NONCE_SIZE]);
bool ca_nonce_use(struct ca_nonces *n, struct str text);

/* jws.c */
enum ca_jws { CA_JWS_NONE, CA_JWS_JWK, CA_JWS_KID, CA_JWS_EITHER };
/* Fills in account or jwk, header and payload; false: answered. */
bool ca_jws_check(struct ca_request *q, enum ca_jws kind);
/* Reads a JWK; NULL: not one that is supported. */
EVP_PKEY *ca_jwk_read(const json_t *jwk, char thumbprint[CA_THUMBPRINT_SIZE]);
/* Of a JWS inside a payload: header parsed (to be freed) and payload decoded. */
int ca_jws_open(const json_t *jws, json_t **header, struct buf *payload, struct err *e) must_check;
int ca_jws_verify(const json_t *jws, EVP_PKEY *key, struct err *e) must_check;
int ca_jws_verify_mac(const json_t *jws, struct str mac, struct err *e) must_check;

/* Endpoints. */
void ca_new_account(struct ca_request *q);
void ca_account(struct ca_request *q);
void ca_account_orders(struct ca_request *q);
void ca_key_change(struct ca_request *q);
void ca_new_order(struct ca_request *q);
void ca_order(struct ca_request *q);
void ca_authz(struct ca_request *q);
void ca_challenge(struct ca_request *q);
void ca_finalize(struct ca_request *q);
void ca_cert(struct ca_request *q);
void ca_revoke(struct ca_request *q);
void ca_renewal_info(struct ca_request *q);
bool ca_profile_known(const struct ca *ca, struct str name, const struct ca_profile **out);

/* order.c */
void ca_order_move(struct ca_order *o, enum ca_status to);
void ca_answer_order(struct ca_request *q, unsigned status, const struct ca_order *o);
bool ca_order_all_valid(const struct ca_order *o);
/* "account|name": of reusable and failures. */
int ca_authz_key(struct buf *out, size_t account, const char *name) must_check;
/* An authorization was decided: its order follows. */
void ca_authz_decided(struct ca *ca, struct ca_authz *a);

/* validate.c: a verdict comes later. */
void ca_validate(struct ca *ca, struct ca_authz *a, enum ca_method m);
/* What a name's prefix says of its fate: NULL: it is asked. */
json_t *ca_name_fate(const char *name, bool at_order);
struct ca_route {
	struct addr at[CA_ADDRESSES_MAX];
	size_t count;
};

/* issue.c */
int ca_issue_setup(struct ca *ca, struct err *e) must_check;
/* The CSR's names and key are the order's; false: answered. */
bool ca_csr_check(struct ca_request *q, struct ca_order *o, X509_REQ *csr);
/* Makes the certificate of o->csr; NULL: failed. */
struct ca_certificate *ca_issue(struct ca *ca, struct ca_order *o);

/* limits.c: false: answered. */
bool ca_limit_account(struct ca_request *q);
bool ca_limit_order(struct ca_request *q, struct ca_account *account, char *const *names,
		    size_t count, const char *set);
void ca_count_issued(struct ca *ca, const struct ca_order *o);
void ca_count_verdict(struct ca *ca, const struct ca_authz *a);
/* names NULL: every paused one. Returns how many. */
size_t ca_unpause(struct ca *ca, const json_t *names);
void ca_pause(struct ca *ca, size_t account, const char *name);

#endif
