/* Names to certificates: what the TLS handshake looks up.
 *
 *     names: "a.example.com" ─▶ {sni id, certificate id}     (readers)
 *     certs: certificate id  ─▶ packed DER and keys          (readers)
 *     snis:  sni id          ─▶ {name, certificate id}       (writer: a removal names only the id)
 *     minimums: name         ─▶ oldest version of TLS        (readers; few names have one)
 *
 * Chains are stored once and shared by content. Keys live in secmem. Readers: any thread online in
 * RCU, see vmap.h. Writer: the sync thread.
 */
#ifndef CARDEA_TABLES_CERTS_H
#define CARDEA_TABLES_CERTS_H

#include "common/core/map.h"
#include "common/net/addr.h"
#include "data-plane/tables/secmem.h"
#include "data-plane/tables/vmap.h"
#include "data-plane/tables/withheld.h"

enum {
	CERTS_PAIRS_MAX = 2,
	CERTS_CHAIN_MAX = 10,
	CERTS_DER_MAX = 64 << 10,    /* one certificate */
	CERTS_STAPLE_MAX = 16 << 10, /* an OCSP response */
	CERTS_NAME_MAX = 253,
	CERTS_ID_SIZE = 16,
};

/* A chain without its leaf; immutable. */
struct cert_chain {
	uint64_t serial; /* never used twice */
	uint32_t refs;	 /* the writer's */
	size_t count;
	struct str ders[]; /* the bytes follow */
};

struct cert_part {
	const unsigned char *leaf, *key; /* DER; key: PKCS#8 */
	const unsigned char *staple;	 /* OCSP response; NULL: none */
	uint32_t leaf_len, key_len, staple_len;
	const struct cert_chain *chain; /* NULL: none */
};

/* One version of a certificate. */
struct cert {
	struct version version;
	uint64_t serial; /* never used twice: what caches of parsed objects go by */
	unsigned char id[CERTS_ID_SIZE];
	size_t count;
	struct cert_part parts[]; /* leaf and staple bytes follow */
};

struct certs {
	struct vmap certs, names, snis, minimums; /* private; counts may be read */
	struct secmem keys;			  /* private */
	struct map chains;			  /* private: content hash to chain */
	uint64_t next_serial;			  /* private */
};

/* Empty. */
int certs_init(struct certs *c, struct err *e) must_check;
/* No reader may be left; keys are cleansed. */
void certs_deinit(struct certs *c);

/* Lower case, one trailing dot off. false: not a host name (empty, too long, an IP literal, bytes
 * that no name has). out has CERTS_NAME_MAX + 1 bytes and is NUL-terminated. */
bool certs_normalise(struct str name, char *out, size_t *len);
/* Whether an sni may be called so: see certs_put_sni. Pure. */
bool certs_name_ok(struct str name);
/* Kong's order (kong-admin-api.md 2.2): exact, "*.rest", "prefix.*", "*". name is normalised. NULL:
 * none of them. The certificate lives until rcu_leave. */
const struct cert *certs_find(const struct certs *c, uint64_t generation, struct str name);
/* The same, and the oldest version of TLS (TLS1_2_VERSION, ...; 0: any) that the name it was found
 * by allows. */
const struct cert *certs_find_minimum(const struct certs *c, uint64_t generation, struct str name,
				      uint16_t *minimum);
/* The certificate of an IP address (RFC 8738: an sni has its text), whatever the port; text: how it
 * was looked up. NULL: none; wildcards have no addresses. */
const struct cert *certs_find_address(const struct certs *c, uint64_t generation,
				      const struct addr *a, char text[ADDR_TEXT_SIZE],
				      uint16_t *minimum);
/* The certificate with this id, or NULL. */
const struct cert *certs_by_id(const struct certs *c, uint64_t generation,
			       const unsigned char id[CERTS_ID_SIZE]);

/* --- writer; what is staged belongs to x --- */

struct cert_source {
	struct str leaf;
	const struct str *chain;
	size_t chain_count;
	struct str key;
	struct str staple; /* empty: none */
};
/* Copies. The same bytes as the current version's change nothing. Sizes are checked here, contents
 * by the caller. */
int certs_put(struct certs *c, struct vmap_txn *x, const unsigned char id[CERTS_ID_SIZE],
	      const struct cert_source *pairs, size_t count, struct err *e) must_check;
/* Stages removals; what is not there is fine. */
int certs_remove(struct certs *c, struct vmap_txn *x, const unsigned char id[CERTS_ID_SIZE],
		 struct err *e) must_check;
/* Stages a name: "a.b", "*.b", "a.*" or "*", lower case, or an IP address as addr_ip_text writes
 * it, and its minimum (0: none). ERR_INVALID: anything else. */
int certs_put_sni(struct certs *c, struct vmap_txn *x, const unsigned char id[CERTS_ID_SIZE],
		  struct str name, const unsigned char certificate_id[CERTS_ID_SIZE],
		  uint16_t minimum, struct err *e) must_check;
/* As certs_remove. */
int certs_remove_sni(struct certs *c, struct vmap_txn *x, const unsigned char id[CERTS_ID_SIZE],
		     struct err *e) must_check;
/* Everything that x did not touch goes (a snapshot). Before certs_resolve. */
int certs_sweep(struct certs *c, struct vmap_txn *x, struct err *e) must_check;
/* Checks references and derives names from the staged snis: call once, before the commit. A name
 * may refer to a certificate that w withholds, also when it is not there: it is then served as if
 * there were no such name. On error *is_sni and culprit name the entity. */
int certs_resolve(struct certs *c, struct vmap_txn *x, const struct withheld *w, bool *is_sni,
		  unsigned char culprit[CERTS_ID_SIZE], struct err *e) must_check;

#endif
