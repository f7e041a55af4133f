/* What this node keeps in its prefix folder: its id. Thread: before others start. */
#ifndef CARDEA_DP_NODE_H
#define CARDEA_DP_NODE_H

#include "common/core/codec.h"
#include "common/core/err.h"

/* Makes the folder (0700) when absent and reads prefix/node_id, which is made on the first start.
 * ERR_INVALID: the file holds something else. */
int node_identity(const char *prefix, char id[UUID_TEXT_SIZE], struct err *e) must_check;

#endif
