/* Command line and configuration of cardea-cp. Thread: main, before anything is started. */
#ifndef CARDEA_CP_OPTIONS_H
#define CARDEA_CP_OPTIONS_H

#include "common/core/str.h"
#include "control-plane/acme/dns01_conf.h"
#include "control-plane/acme/on_demand.h"
#include "control-plane/config.h"

/* What the command line asked for; of argv. */
struct cp_command {
	const char *file;	/* -c; NULL: none */
	const char *token_name; /* -A: make a token of this name and exit; NULL: run */
};
/* Reads -c FILE, -t, -A NAME, -V, -h, -M (the keys, for a manual page) and the configuration.
 * Returns -1 to go on with *config and *command filled in, else the exit code: 0 after -t, -V, -h,
 * -M; 2 after a message on stderr about what is wrong. */
int cp_options(int argc, char **argv, struct cp_config *config, struct cp_command *command);
/* Reads the configuration again and takes over what can change while running: log_level. An error
 * is logged and changes nothing. */
void cp_options_reload(const char *file);
/* What cannot be told key by key: needed files, rules over several keys. */
int cp_config_check(const struct cp_config *c, struct err *e) must_check;
/* Issuance on demand; borrows from c, metrics are the caller's to set. */
struct on_demand_conf cp_on_demand(const struct cp_config *c);
/* Records of dns-01; borrows from c. ERR_INVALID: a server's address. */
int cp_dns01(const struct cp_config *c, struct dns01_conf *out, struct err *e) must_check;
/* The libpq connection string. */
int cp_conninfo(const struct cp_config *c, struct buf *out, struct err *e) must_check;

#endif
