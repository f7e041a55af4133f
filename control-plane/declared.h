/* The document that a control plane without a database starts with, and reads again. Thread: the
 * loop. */
#ifndef CARDEA_CP_DECLARED_H
#define CARDEA_CP_DECLARED_H

#include <stdbool.h>

#include "control-plane/config.h"
#include "control-plane/store/store.h"

/* Loads declarative_config_string, or the file of declarative_config, or nothing when neither is
 * set. done (may be NULL) comes once; a document that is refused changes nothing, and is logged. */
void declared_load(struct store *s, const struct cp_config *c, void (*done)(bool loaded, void *arg),
		   void *arg);

#endif
