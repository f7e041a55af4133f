/* What Kong's plugin acme keeps in a storage: keys, and what is behind them
 * (kong-acme-hybrid.md 1.7). Written by Kong, or by anybody who can reach the storage: read with
 * suspicion. Pure. Thread: any.
 *
 *     kong_acme:account:API_URI:BASE64(EMAIL)   {"key":PEM}
 *     kong_acme:cert_key:HOST                   {"key":PEM,"cert":PEM}
 *     kong_acme:renew_config:HOST               {"host":HOST,"expire_at":SECONDS}
 *     TOKEN#http-01                             TOKEN.THUMBPRINT, for an hour
 * and what passes by itself: update_lock, fail_backoff, renew_last_run. Consul and Vault have "-"
 * in place of each "/" of a key.
 */
#ifndef CARDEA_ACME_KONG_LAYOUT_H
#define CARDEA_ACME_KONG_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/core/err.h"
#include "common/core/str.h"

enum kong_kind { KONG_ACCOUNT, KONG_CERTIFICATE, KONG_HOST, KONG_PASSING, KONG_OTHER, KONG_KINDS };
/* "account", "certificate", "host", "passing", "other". */
const char *kong_kind_name(enum kong_kind k);

/* What all keys but challenges begin with. */
#define KONG_PREFIX "kong_acme:"

struct kong_key {
	enum kong_kind kind;
	struct str name; /* behind the prefix of its kind: the host; of an account all of it */
};
struct kong_key kong_key_read(struct str key);

/* Which authority and address an account's key is for. *uri lies in name; email is appended.
 * ERR_INVALID: it is no such name. */
int kong_account_read(struct str name, struct str *uri, struct buf *email,
		      struct err *e) must_check;
/* Whether a key's uri is this one: the same, or as Consul and Vault have it. */
bool kong_uri_is(struct str in_key, struct str uri);

/* Values. All append; ERR_INVALID says what is wrong, without what was read. */
int kong_read_account_key(struct str value, struct buf *key, struct err *e) must_check;
int kong_read_certificate(struct str value, struct buf *cert, struct buf *key,
			  struct err *e) must_check;
/* host is as it stands there. */
int kong_read_host(struct str value, struct buf *host, int64_t *expire_at,
		   struct err *e) must_check;

/* The other way round: keys and values as Kong writes them. */
int kong_write_key(struct buf *out, enum kong_kind kind, struct str host, struct err *e) must_check;
int kong_write_account_name(struct buf *out, struct str uri, struct str email,
			    struct err *e) must_check;
int kong_write_account_key(struct buf *out, struct str key, struct err *e) must_check;
int kong_write_certificate(struct buf *out, struct str cert, struct str key,
			   struct err *e) must_check;
int kong_write_host(struct buf *out, struct str host, int64_t expire_at, struct err *e) must_check;

#endif
