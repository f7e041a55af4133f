/* Private keys: load, generate, store as PKCS#8 DER. Thread: any; generation is slow, use the pool.
 */
#ifndef CARDEA_PKI_KEY_H
#define CARDEA_PKI_KEY_H

#include <openssl/evp.h>

#include "common/core/err.h"
#include "common/core/str.h"

enum key_type { KEY_EC_P256, KEY_EC_P384, KEY_RSA_2048, KEY_RSA_3072, KEY_RSA_4096 };

/* "ecdsa-p256", "rsa-2048", ...; -1 for any other text. */
int key_type_parse(struct str text, enum key_type *out) must_check;
const char *key_type_name(enum key_type t);

/* A fresh key, for EVP_PKEY_free. */
int key_generate(EVP_PKEY **out, enum key_type type, struct err *e) must_check;
/* The same, fast to encode and to put into a request, for one that signs once or twice (key_open).
 */
int key_generate_once(EVP_PKEY **out, enum key_type type, struct err *e) must_check;
/* One unencrypted PKCS#8, PKCS#1 or SEC1 key out of PEM text. Kong's wording: "invalid key: ...".
 */
int key_from_pem(EVP_PKEY **out, struct str pem, struct err *e) must_check;
/* Whether key_from_pem would succeed. Fast for RSA and EC keys. */
int key_check_pem(struct str pem, struct err *e) must_check;
int key_from_der(EVP_PKEY **out, struct str der, struct err *e) must_check;
/* The same, fast for what key_to_der made of RSA and EC keys, for one that signs once or twice:
 * each provider of OpenSSL's that it is used with copies it. */
int key_open(EVP_PKEY **out, struct str der, struct err *e) must_check;
/* Appends PKCS#8 DER; out->secret should be set by the caller. */
int key_to_der(struct buf *out, EVP_PKEY *key, struct err *e) must_check;
int key_to_pem(struct buf *out, EVP_PKEY *key, struct err *e) must_check;
/* Refuses RSA < 2048 or > 8192, curves other than P-256/P-384/P-521, other algorithms (TLS-22). */
int key_check_strength(EVP_PKEY *key, struct err *e) must_check;

#endif
