/* The first token of the admin API, made by whoever can read the database's password: nobody can be
 * asked for a token before there is one. Thread: the loop. */
#ifndef CARDEA_CP_FIRST_TOKEN_H
#define CARDEA_CP_FIRST_TOKEN_H

#include <stdio.h>

#include "control-plane/store/store.h"

/* Stores a token with the role admin under this name, writes it to `out` as one line, then done; e
 * is NULL on success, else ERR_CONFLICT (the name is taken), ERR_INVALID (not a name) or the
 * store's. */
void first_token(struct store *s, const char *name, FILE *out,
		 void (*done)(const struct err *e, void *arg), void *arg);

#endif
