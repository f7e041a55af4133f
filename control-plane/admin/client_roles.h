/* Which client certificate has which role: the key admin_client_roles.
 *
 *     admin:cn=Alice Smith, operator+keys:dns=ci.example.com, reader:*
 *
 * ROLE:NAME, separated by commas; the first that fits counts. NAME is cn=, dns=, email= or uri=
 * with the whole name, or * for every certificate. Pure. Thread: any.
 */
#ifndef CARDEA_ADMIN_CLIENT_ROLES_H
#define CARDEA_ADMIN_CLIENT_ROLES_H

#include <openssl/x509.h>

#include "control-plane/admin/roles.h"

enum { CLIENT_ROLES_MAX = 64, CLIENT_SUBJECT_SIZE = 256 };

enum client_name { CLIENT_CN, CLIENT_DNS, CLIENT_EMAIL, CLIENT_URI, CLIENT_ANY, CLIENT_NAMES };

struct client_role {
	enum role role;
	bool keys; /* may read private keys */
	enum client_name kind;
	struct str name; /* of the text that was parsed */
};

struct client_roles {
	struct client_role items[CLIENT_ROLES_MAX];
	size_t count;
};

/* text lives as long as *out; NULL: none. ERR_INVALID names the entry and what is allowed. */
int client_roles_parse(struct client_roles *out, const char *text, struct err *e) must_check;
/* The first entry that fits a verified certificate; NULL: none does. A certificate with several
 * common names has none, for it is not clear which one is meant. */
const struct client_role *client_roles_find(const struct client_roles *roles, X509 *cert);
/* The subject in one line of printable ASCII (RFC 2253), cut; "-" for an empty one. */
void client_subject(X509 *cert, char out[CLIENT_SUBJECT_SIZE]);

#endif
