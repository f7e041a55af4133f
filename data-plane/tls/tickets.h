/* Session ticket keys that the whole fleet has in common (proto/README.md, "Session ticket keys"):
 *
 *     time  ──┬── slot 12 h ──┬── slot 12 h ──┬──
 *     slot's secret: the newest whose not_before has come when the slot begins
 *     HKDF-SHA256(secret, "cardea ticket " slot) = name (16) | AES-256-CBC (32) | HMAC-SHA256 (32)
 *
 * The current slot's key makes tickets; those of the previous and the next slot are accepted too.
 * Without any secret of the fleet a secret of the process is used. owner and thread: the worker.
 */
#ifndef CARDEA_TLS_TICKETS_H
#define CARDEA_TLS_TICKETS_H

#include <openssl/ssl.h>

#include "common/core/err.h"
#include "data-plane/tables/tables.h"

enum { TICKET_SLOT_SECONDS = 43200, TICKET_NAME_SIZE = 16, TICKET_KEY_SIZE = 80 };

struct ticket_keys;

/* fallback: a random secret that all workers of the process share; copied. */
int ticket_keys_create(struct ticket_keys **out, const struct tables *t,
		       const unsigned char fallback[TICKET_SECRET_SIZE], struct err *e) must_check;
/* Cleanses. NULL is fine. */
void ticket_keys_free(struct ticket_keys *k);
/* What SSL_CTX_set_tlsext_ticket_key_evp_cb asks for, with the keys of this worker. */
int ticket_keys_use(struct ticket_keys *k, unsigned char name[TICKET_NAME_SIZE], unsigned char *iv,
		    EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int encrypt);
/* A slot's key: name, AES key, HMAC key. Pure. */
int ticket_key_derive(unsigned char out[TICKET_KEY_SIZE],
		      const unsigned char secret[TICKET_SECRET_SIZE], int64_t slot,
		      struct err *e) must_check;
/* Index of the secret of a slot; secrets are sorted as tickets_copy gives them, count > 0. */
size_t ticket_secret_of(const struct ticket_secret *secrets, size_t count, int64_t slot);

#endif
