/* What is configured of one CA. Texts that are "" count as NULL. */
#ifndef CARDEA_ACME_AUTHORITY_CONF_H
#define CARDEA_ACME_AUTHORITY_CONF_H

#include <stdbool.h>

enum { AUTHORITY_REQUESTS_MAX = 64 };

struct authority_conf {
	const char *name;      /* what operators call it */
	const char *directory; /* URL; what orders and accounts of it are stored under */
	const char *ca_file;   /* trust for its HTTPS; NULL: the system's */
	const char *ca_pem;    /* the same as text; wins */
	const char *profile;   /* that is asked for when the order names none; NULL: none */
	const char *email;     /* contact; "": none */
	const char *limits;    /* limits_parse */
	const char *eab_kid, *eab_hmac; /* external account binding; NULL: none */
	const char *eab_url;	 /* where one is given for an e-mail address; NULL: nowhere, but
				    for ZeroSSL, where it is known */
	const char *account_key; /* PEM or JWK of a new account; NULL: one is made */
	const char *account_key_file; /* the same out of a file, when it is first used */
	bool agree;		      /* to new terms of service */
	unsigned requests_max;	      /* under way at once; 0: AUTHORITY_REQUESTS_MAX */
};

#endif
