/* The commands of `cardea`. argv[0] is the command's name. 0, or -1 with the reason; ERR_INVALID:
 * wrong usage. Thread: main. */
#ifndef CARDEA_CLI_COMMANDS_H
#define CARDEA_CLI_COMMANDS_H

#include "common/core/err.h"

/* DIR gets ca.crt, ca.key (kept when they exist), cp.crt, cp.key (server and client, name
 * cardea-control-plane), node.crt, node.key (client, name cardea-data-plane). Keys have mode 0600.
 */
int command_cluster_cert(int argc, char **argv, struct err *e) must_check;
/* FILE (mode 0600) gets one more line `<id> <64 hex digits>`: the new active key. */
int command_keyring(int argc, char **argv, struct err *e) must_check;

#endif
