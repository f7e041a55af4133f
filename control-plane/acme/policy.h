/* What the plugin acme (Kong's fields, kong-acme-hybrid.md 1.2) says about orders for the names
 * that it covers: which authority, which key, which chain, when to renew, how soon to try again.
 * The config is that of the first plugin that is enabled; NULL: there is none. Pure. Thread: any.
 */
#ifndef CARDEA_ACME_POLICY_H
#define CARDEA_ACME_POLICY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/core/err.h"
#include "common/core/str.h"

/* Whether it is for all names of a set (names.h): without `domains` for all that are asked for. */
bool policy_covers(const json_t *config, struct str names);
/* Appends the address of the directory: api_uri, with /directory behind it where that is missing,
 * as Kong does. */
int policy_directory(const json_t *config, struct buf *out, struct err *e) must_check;
/* By cert_type and rsa_key_size, as key_type_parse takes it. */
const char *policy_key_type(const json_t *config);
/* One of its texts; NULL: not set. */
const char *policy_text(const json_t *config, const char *name);
/* The share of the lifetime that is left at renewal: renew_threshold_days, or fallback where the
 * certificate does not live so much longer than that (a constant in days is none for those). */
double policy_renew_fraction(const json_t *config, int64_t lifetime_s, double fallback);
/* fail_backoff_minutes: the least time between two tries that fail by the owner's fault. */
uint64_t policy_backoff_ms(const json_t *config);

#endif
