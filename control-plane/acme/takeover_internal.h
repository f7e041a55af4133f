/* The insides of a takeover (takeover.c), for takeover*.c. owner: the engine, thread: the loop, but
 * for takeover_check. */
#ifndef CARDEA_ACME_TAKEOVER_INTERNAL_H
#define CARDEA_ACME_TAKEOVER_INTERNAL_H

#include "common/core/codec.h"
#include "common/pki/cert.h"
#include "control-plane/acme/engine.h"
#include "control-plane/acme/kong_layout.h"
#include "control-plane/acme/renewal_info.h"
#include "control-plane/acme/storage.h"

enum { TAKEOVER_BATCH = 32, TAKEOVER_HOST_SIZE = 254 };

enum take_result {
	TAKE_PENDING,	/* not decided yet */
	TAKE_TAKEN,	/* it is written, or would be */
	TAKE_UNCHANGED, /* it is here already */
	TAKE_LEFT,	/* nothing to take; why says so */
	TAKE_REFUSED,	/* why says what to do */
	TAKE_RESULTS,
};

/* One key. */
struct take_item {
	struct str key; /* lies in takeover.keys_text */
	enum kong_kind kind;
	enum take_result result;
	struct err why;
	struct buf value; /* secret */

	char host[TAKEOVER_HOST_SIZE];
	struct buf cert, key_pem; /* key_pem: secret */
	struct cert_info info;
	char ari_id[RENEWAL_ID_SIZE]; /* "": none */
	const char *key_type;	      /* NULL: none that is ours to make */
	char id[UUID_TEXT_SIZE];      /* of the certificate, or of the account */
	const json_t *sni;	      /* its row here; NULL: none. In takeover.snis */
	bool adopt;		      /* the certificate is here: only its order is made */

	struct buf directory, email;
	struct buf der; /* of the account's key, secret */
};

struct takeover {
	struct acme *acme;
	struct storage *storage; /* NULL: rows were given */
	json_t *rows;		 /* [{"key","value"}], or NULL */
	json_t *known;		 /* {address in keys: directory} of authorities */
	char *home;		 /* directory of what is taken */
	bool dry_run, force, stopping, closing_storage;

	struct buf keys_text;
	struct str *keys; /* sorted */
	size_t key_count, at;
	struct take_item items[TAKEOVER_BATCH];
	size_t count, reading; /* of items; the one whose value comes next */
	struct work work;
	json_t *snis, *accounts; /* rows of this batch, owned */

	json_t *report, *answer; /* its rows; the whole of it */
	size_t results[TAKE_RESULTS], left_out;
	uint64_t revision;
	struct err failed; /* what ended it */
	enum store_fault fault;
	struct store_note note; /* its texts are the caller's */
	bool noted;
	store_done done;
	void *arg;
};

/* takeover_check.c: what a value says, without looking at what is here. Thread: pool. */
void takeover_check(struct takeover *t, struct take_item *i);
/* What a leaf says, into info, ari_id and key_type. */
int takeover_read_leaf(struct take_item *i, X509 *leaf, struct err *e) must_check;
/* The item ends so. */
void takeover_end_item(struct take_item *i, enum take_result r, const char *fmt, ...)
	printf_like(3, 4);

/* takeover_save.c: decides on the checked items by what is here, writes those that are taken, then
 * calls takeover_saved. */
void takeover_save(struct takeover *t);
/* takeover.c: the batch is decided on and written; fault other than STORE_OK: the store is away, it
 * ends. */
void takeover_saved(struct takeover *t, const struct store_result *r);
/* Whether a key is among those of the storage. */
bool takeover_has_key(const struct takeover *t, struct str key);

#endif
