/* What the stream client is told in words: where control planes are, and the labels of this node.
 * Thread: any. */
#ifndef CARDEA_SYNC_CLIENT_CONF_H
#define CARDEA_SYNC_CLIENT_CONF_H

#include <stddef.h>
#include <stdint.h>

#include "common/core/err.h"

enum { SYNC_ADDRESSES_MAX = 16, SYNC_LABELS_MAX = 64, SYNC_HOST_SIZE = 256 };

struct sync_address {
	char host[SYNC_HOST_SIZE];
	uint16_t port;
};

struct sync_addresses {
	struct sync_address items[SYNC_ADDRESSES_MAX];
	size_t count;
};

struct sync_labels {
	const char *names[SYNC_LABELS_MAX], *values[SYNC_LABELS_MAX];
	size_t count;
	char *text; /* private: where they point into */
};

/* "host:port,host:port". ERR_INVALID names cluster_control_plane and what is wrong. */
int sync_addresses_parse(struct sync_addresses *out, const char *text, struct err *e) must_check;
/* "a=b,c=d"; NULL: none. ERR_INVALID names node_labels. sync_labels_deinit also after an error. */
int sync_labels_parse(struct sync_labels *out, const char *text, struct err *e) must_check;
/* Frees what they point to. */
void sync_labels_deinit(struct sync_labels *l);

#endif
