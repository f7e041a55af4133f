/* Secrets inside records (plugins.config of plugin "acme"): a record is stored as JSON, and its
 * FIELD_SECRET texts in it as "sealed:HEX". What a secret is bound to is its path and its row.
 * Thread: any. */
#ifndef CARDEA_STORE_RECORD_SECRETS_H
#define CARDEA_STORE_RECORD_SECRETS_H

#include "common/pki/seal.h"
#include "control-plane/model/entity.h"

/* Whether a record has such fields, in it or in records of it. */
bool record_secrets_has(const struct field *f);
/* Seals or opens all in place; value is the record itself, changed. path: "plugins.config". Opening
 * gives null for one that does not open, with the error of the last; texts that were never sealed
 * stay (rows older than the field). */
int record_secrets_seal(const struct field *f, json_t *value, const char *path, const char *id,
			const struct keyring *k, struct err *e) must_check;
int record_secrets_open(const struct field *f, json_t *value, const char *path, const char *id,
			const struct keyring *k, struct err *e) must_check;

#endif
