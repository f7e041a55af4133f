/* Any bytes as a message of the control plane and as a cached change. Every slice that comes out is
 * read, and what the cache would keep of a change must give the same change again. */
#include <stdlib.h>

#include "data-plane/sync/decode.h"
#include "data-plane/tables/fields.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned sum;

static void read_all(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		sum += (unsigned char)s.ptr[i];
}

static void read_fields(const struct fields *f, unsigned depth)
{
	if (depth > FIELDS_DEPTH_MAX + 1)
		abort();
	for (size_t i = 0; i < fields_count(f); i++) {
		const char *name = fields_name(f, i);

		read_all(str_from(name));
		read_all(fields_text(f, name));
		if (fields_id(f, name))
			read_all((struct str){(const char *)fields_id(f, name), FIELDS_ID_SIZE});
		if (fields_record(f, name))
			read_fields(fields_record(f, name), depth + 1);
	}
}

static void read_change(const struct change *c)
{
	if (c->removed)
		return;
	switch (c->kind) {
	case CHANGE_CERTIFICATE:
		if (c->u.certificate.count == 0 || c->u.certificate.count > CHANGE_PAIRS_MAX)
			abort();
		for (size_t i = 0; i < c->u.certificate.count; i++) {
			const struct change_pair *p = &c->u.certificate.pairs[i];
			read_all(p->leaf);
			read_all(p->key);
			for (size_t k = 0; k < p->chain_count; k++)
				read_all(p->chain[k]);
		}
		break;
	case CHANGE_SNI:
		read_all(c->u.sni.name);
		break;
	case CHANGE_CHALLENGE:
		read_all(c->u.challenge.host);
		read_all(c->u.challenge.token);
		read_all(c->u.challenge.key_authorization);
		break;
	case CHANGE_TICKET_SECRET:
		if (c->u.ticket.secret.len != 32)
			abort();
		read_all(c->u.ticket.secret);
		break;
	default:
		read_fields(c->u.fields, 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct str bytes = {(const char *)data, size};
	struct plane_message m, again;
	struct err e = ERR_INIT;

	if (plane_message_decode(&m, bytes, &e) == 0) {
		read_all(m.epoch);
		if (m.kind == PLANE_CHANGE) {
			read_change(&m.change);
			read_all(m.change.encoded);
		}
		plane_message_free(&m);
	} else if (e.kind != ERR_INVALID && e.kind != ERR_CONFLICT) {
		abort();
	}
	if (plane_change_decode(&again, bytes, &e) == 0) {
		read_change(&again.change);
		plane_message_free(&again);
	}
	return 0;
}
