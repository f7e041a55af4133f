/* Entities whose newest version this node does not have, because a data plane refused it (Held in
 * proto/README.md): what refers to one may dangle. Hardly ever holds anything. owner: tables,
 * thread: the writer.
 */
#ifndef CARDEA_TABLES_WITHHELD_H
#define CARDEA_TABLES_WITHHELD_H

#include <stdbool.h>

#include "common/core/map.h"

enum { WITHHELD_ID_SIZE = 16 };

/* What the tables hold. */
enum tables_kind {
	TABLES_NONE,
	TABLES_CERTIFICATE,
	TABLES_SNI,
	TABLES_CHALLENGE,
	TABLES_TICKET,
	TABLES_ROUTE,
	/* As in enum entities_kind. */
	TABLES_SERVICE,
	TABLES_UPSTREAM,
	TABLES_TARGET,
	TABLES_CONSUMER,
	TABLES_PLUGIN,
	TABLES_CA_CERTIFICATE,
	TABLES_MTLS_CREDENTIAL,
	TABLES_HEADER_CREDENTIAL,
	TABLES_KINDS,
};

struct withheld {
	struct map now;	 /* private: kind and id */
	struct map next; /* private: what it will be when the transaction commits */
	bool changed;	 /* private: there is a next */
};

/* Empty. */
void withheld_init(struct withheld *w);
/* Whether or not a transaction is open. */
void withheld_deinit(struct withheld *w);
/* A transaction begins; replacing: with nothing. */
void withheld_begin(struct withheld *w, bool replacing);
/* Within the transaction. */
int withheld_add(struct withheld *w, enum tables_kind kind,
		 const unsigned char id[WITHHELD_ID_SIZE], struct err *e) must_check;
/* What is not in it is fine. */
int withheld_remove(struct withheld *w, enum tables_kind kind,
		    const unsigned char id[WITHHELD_ID_SIZE], struct err *e) must_check;
/* As the open transaction leaves it. */
bool withheld_has(const struct withheld *w, enum tables_kind kind,
		  const unsigned char id[WITHHELD_ID_SIZE]);
/* Whether any is of this kind. */
bool withheld_any(const struct withheld *w, enum tables_kind kind);
/* Ends the transaction: cannot fail. */
void withheld_commit(struct withheld *w);
/* As before it. */
void withheld_abort(struct withheld *w);

#endif
