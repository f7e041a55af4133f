/* Secrets at rest: AES-256-GCM under versioned key-encryption keys (reliability-goals KC-01,
 * KC-02).
 *
 * Sealed form: "C1" | key id (4 bytes, big endian) | nonce (12) | wrapped data key (32 + 16) |
 * nonce (12) | ciphertext | tag (16). A fresh data key per sealing; the context (kind + entity id)
 * is associated data, so that swapped rows do not open. A keyring file has one line per key: `<id>
 * <64 hex digits>`; the last line is the active key. Mode 0400 or 0600 is required. Thread: any
 * after loading; the keyring is read-only.
 */
#ifndef CARDEA_PKI_SEAL_H
#define CARDEA_PKI_SEAL_H

#include "common/core/err.h"
#include "common/core/str.h"

struct keyring;

/* Errors name file and line, never a key. */
int keyring_load(struct keyring **out, const char *file, struct err *e) must_check;
/* From the text of such a file (a secret from the environment). */
int keyring_from_text(struct keyring **out, struct str text, struct err *e) must_check;
/* Cleanses. NULL is fine. */
void keyring_free(struct keyring *k);
/* Appends the sealed form. context binds it to where it is stored. */
int seal(const struct keyring *k, struct str context, struct str plain, struct buf *out,
	 struct err *e) must_check;
/* Appends the plain bytes (out should be secret). ERR_DENIED: wrong context or changed bytes;
 * ERR_NOT_FOUND: the key id that is missing, named. */
int unseal(const struct keyring *k, struct str context, struct str sealed, struct buf *out,
	   struct err *e) must_check;

#endif
