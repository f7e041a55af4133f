/* The insides of struct install, for install*.c. owner: the order, thread: the loop, but for the
 * check. */
#ifndef CARDEA_ACME_INSTALL_INTERNAL_H
#define CARDEA_ACME_INSTALL_INTERNAL_H

#include "common/pki/cert.h"
#include "control-plane/acme/engine.h"
#include "control-plane/acme/renewal_info.h"

#define INSTALL_TAG "managed-by-acme"

/* Where the names' SNIs point now. */
struct placement {
	json_t *snis;			/* rows of placement_sql, owned */
	json_int_t certificate_created; /* of the certificate that is replaced; or now */
	json_t *certificate_tags;	/* in snis, NULL: the tag alone */
};

struct install {
	struct buf chain;   /* PEM as the CA sent it */
	struct buf key_pem; /* secret */
	struct cert_info info;
	char ari_id[RENEWAL_ID_SIZE]; /* "": it has none */
	bool checked;
	json_t *pair; /* the certificate as it is, when this order's is one of two; NULL: none */
	struct placement at;
};

/* install.c: whether it covers them; ERR_INVALID names the first that it does not. */
int install_check_names(X509 *leaf, struct str names, struct err *e) must_check;
/* install_save.c: the order's own end, before its certificate is put into the fleet's state. */
void install_make_valid(struct order *o);

/* One of two certificates for the same names. */
static inline bool install_is_pair(const struct order *o)
{
	return o->key_type_alt[0] || o->pair_of[0];
}

/* "": none */
static inline const char *row_text(const json_t *row, const char *column)
{
	const char *text = json_string_value(json_object_get(row, column));

	return text ? text : "";
}

#endif
