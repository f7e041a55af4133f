#include "data-plane/sync/client_conf.h"

#include <stdlib.h>
#include <string.h>

#include "common/net/addr.h"

int sync_addresses_parse(struct sync_addresses *out, const char *text, struct err *e)
{
	struct str rest = str_from(text);
	struct str one;

	out->count = 0;
	while (rest.len > 0 && str_split(&rest, ',', &one)) {
		struct sync_address *a = &out->items[out->count];

		if (out->count == SYNC_ADDRESSES_MAX)
			return err_set(e, ERR_INVALID,
				       "cluster_control_plane: more than %d addresses",
				       SYNC_ADDRESSES_MAX);
		if (host_port_parse(str_trim(one), a->host, sizeof(a->host), &a->port, e))
			return err_prefix(e, "cluster_control_plane");
		out->count++;
	}
	return out->count ? 0 : err_set(e, ERR_INVALID, "cluster_control_plane: no address");
}

/* In a copy whose separators become NULs. */
int sync_labels_parse(struct sync_labels *out, const char *text, struct err *e)
{
	*out = (struct sync_labels){.text = str_dup(str_from(text ? text : ""))};
	if (!out->text)
		return err_memory(e, "labels");
	for (char *at = out->text; *at;) {
		char *end = at + strcspn(at, ",");
		char *equals = memchr(at, '=', (size_t)(end - at));
		bool last = *end == '\0';

		if (!equals || equals == at)
			return err_set(e, ERR_INVALID, "node_labels: must be name=value[,...]");
		if (out->count == SYNC_LABELS_MAX)
			return err_set(e, ERR_INVALID, "node_labels: more than %d",
				       SYNC_LABELS_MAX);
		*equals = '\0';
		*end = '\0';
		out->names[out->count] = at;
		out->values[out->count++] = equals + 1;
		at = last ? end : end + 1;
	}
	return 0;
}

void sync_labels_deinit(struct sync_labels *l)
{
	free(l->text);
	l->text = NULL;
}
