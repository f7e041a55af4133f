/* Roles of the admin API, and the least one that each route and method asks for: the one place that
 * says who may do what. Pure. Thread: any. */
#ifndef CARDEA_ADMIN_ROLES_H
#define CARDEA_ADMIN_ROLES_H

#include <stdbool.h>

#include "common/core/err.h"
#include "common/core/str.h"

/* Each may do what the one before may. */
enum role {
	ROLE_NONE,     /* known, but nothing is allowed */
	ROLE_READER,   /* reads everything but private keys, tokens and the audit */
	ROLE_OPERATOR, /* issues and renews certificates, reads the audit; keys only when said so */
	ROLE_ADMIN,    /* everything */
	ROLES,
};

/* "reader"; "none" for ROLE_NONE. */
const char *role_name(enum role role);
/* reader, operator, admin; ERR_INVALID names them. */
int role_parse(struct str text, enum role *out, struct err *e) must_check;
/* The least role for a method on the route with this pattern (router.h). What no rule names: reader
 * to read, admin to write. */
enum role role_needed(struct str method, const char *pattern);
/* What a method does, as refusals say it: "read", "create", "update", "delete". */
const char *role_verb(struct str method);
/* Whether somebody with this role may be given private keys on top (operators). */
bool role_takes_keys(enum role role);

#endif
