#include "data-plane/tls/tickets.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "common/core/clock.h"
#include "common/core/log.h"

enum { AES_KEY_SIZE = 32, MAC_KEY_SIZE = 32, IV_SIZE = 16, SLOTS = 3, CURRENT = 1 };

static_assert(TICKET_NAME_SIZE + AES_KEY_SIZE + MAC_KEY_SIZE == TICKET_KEY_SIZE, "parts of a key");

struct ticket_keys {
	const struct tables *tables;
	EVP_CIPHER *cipher;
	uint64_t generation; /* of the tables that the keys were made from; 0: none yet */
	int64_t slot;
	unsigned char fallback[TICKET_SECRET_SIZE];
	unsigned char keys[SLOTS][TICKET_KEY_SIZE]; /* previous, current, next */
};

int ticket_key_derive(unsigned char out[TICKET_KEY_SIZE],
		      const unsigned char secret[TICKET_SECRET_SIZE], int64_t slot, struct err *e)
{
	char info[64];
	size_t n = TICKET_KEY_SIZE;
	int len = snprintf(info, sizeof(info), "cardea ticket %lld", (long long)slot);
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL);
	int ok = c && EVP_PKEY_derive_init(c) == 1 &&
		 EVP_PKEY_CTX_set_hkdf_md(c, EVP_sha256()) == 1 &&
		 EVP_PKEY_CTX_set1_hkdf_key(c, secret, TICKET_SECRET_SIZE) == 1 &&
		 EVP_PKEY_CTX_add1_hkdf_info(c, (const unsigned char *)info, len) == 1 &&
		 EVP_PKEY_derive(c, out, &n) == 1;

	EVP_PKEY_CTX_free(c);
	return ok ? 0 : err_openssl(e, ERR_INTERNAL, "ticket key cannot be derived");
}

size_t ticket_secret_of(const struct ticket_secret *secrets, size_t count, int64_t slot)
{
	for (size_t i = 0; i < count; i++)
		if (secrets[i].not_before <= slot * TICKET_SLOT_SECONDS)
			return i;
	return count - 1; /* none has come yet: the first that will */
}

int ticket_keys_create(struct ticket_keys **out, const struct tables *t,
		       const unsigned char fallback[TICKET_SECRET_SIZE], struct err *e)
{
	struct ticket_keys *k = calloc(1, sizeof(*k));

	if (!k)
		return err_memory(e, "making ticket keys");
	k->tables = t;
	memcpy(k->fallback, fallback, sizeof(k->fallback));
	k->cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
	if (!k->cipher) {
		ticket_keys_free(k);
		return err_openssl(e, ERR_INTERNAL, "AES-256-CBC");
	}
	*out = k;
	return 0;
}

void ticket_keys_free(struct ticket_keys *k)
{
	if (!k)
		return;
	EVP_CIPHER_free(k->cipher);
	OPENSSL_cleanse(k, sizeof(*k));
	free(k);
}

static int derive_all(struct ticket_keys *k, uint64_t generation, int64_t slot, struct err *e)
{
	struct ticket_secret secrets[TICKET_SECRETS_MAX];
	unsigned char keys[SLOTS][TICKET_KEY_SIZE];
	size_t count = tickets_copy(&k->tables->tickets, generation, secrets);
	int rc = 0;

	for (int i = 0; rc == 0 && i < SLOTS; i++) {
		int64_t s = slot + i - CURRENT;

		rc = ticket_key_derive(keys[i],
				       count ? secrets[ticket_secret_of(secrets, count, s)].bytes
					     : k->fallback,
				       s, e);
	}
	if (rc == 0) {
		memcpy(k->keys, keys, sizeof(keys));
		k->generation = generation;
		k->slot = slot;
	}
	OPENSSL_cleanse(secrets, sizeof(secrets));
	OPENSSL_cleanse(keys, sizeof(keys));
	return rc;
}

static int refresh(struct ticket_keys *k)
{
	struct err e = ERR_INIT;
	uint64_t generation = tables_enter(k->tables);
	int64_t slot = clock_wall_s() / TICKET_SLOT_SECONDS;

	if (k->generation == generation && k->slot == slot)
		return 0;
	if (derive_all(k, generation, slot, &e) == 0 || k->generation != 0)
		return 0;
	log_error("no session tickets", log_err(&e));
	return -1;
}

static int set_mac(EVP_MAC_CTX *mac, unsigned char *key)
{
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key, MAC_KEY_SIZE),
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end(),
	};

	return EVP_MAC_CTX_set_params(mac, params);
}

/* Returns as OpenSSL documents: -1 error, 0 no such key (or: make no ticket), 1 fine, 2 fine but
 * make a new ticket. */
int ticket_keys_use(struct ticket_keys *k, unsigned char name[TICKET_NAME_SIZE], unsigned char *iv,
		    EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int encrypt)
{
	int found = CURRENT;
	unsigned char *key;

	if (refresh(k) != 0)
		return 0;
	if (encrypt) {
		memcpy(name, k->keys[CURRENT], TICKET_NAME_SIZE);
		if (RAND_bytes(iv, IV_SIZE) != 1)
			return -1;
	} else {
		for (found = 0; found < SLOTS; found++)
			if (CRYPTO_memcmp(name, k->keys[found], TICKET_NAME_SIZE) == 0)
				break;
		if (found == SLOTS)
			return 0;
	}
	key = k->keys[found] + TICKET_NAME_SIZE;
	if (EVP_CipherInit_ex2(cipher, k->cipher, key, iv, encrypt, NULL) != 1 ||
	    set_mac(mac, key + AES_KEY_SIZE) != 1)
		return -1;
	return found == CURRENT ? 1 : 2;
}
