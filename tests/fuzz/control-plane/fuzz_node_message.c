/* Any bytes as messages of a data plane, given to a node that has said hello: what it may say never
 * moves it anywhere but along its table, and never makes it send what is not in the image. */
#include <stdlib.h>

#include "control-plane/fleet/node.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool swallow(struct str bytes, void *arg)
{
	*(size_t *)arg += bytes.len;
	return true;
}

static void read_message(const struct node_message *m)
{
	char id[UUID_TEXT_SIZE];
	uint32_t count;

	for (size_t i = 0; i < m->hit_count; i++)
		node_message_hit(m, i, id, &count);
	if (m->kind == NODE_MESSAGE_HELLO && (!m->labels || !uuid_is(str_from(m->node_id))))
		abort();
	if (m->kind == NODE_MESSAGE_NACK && strlen(m->reason) > NODE_REASON_MAX)
		abort();
}

static int give(struct node *n, struct image *image, const struct node_message *m, struct err *e)
{
	switch (m->kind) {
	case NODE_MESSAGE_HELLO:
		return node_hello(n, image, m, 1000, e);
	case NODE_MESSAGE_ACK:
		return node_ack(n, m->revision, e);
	case NODE_MESSAGE_NACK:
		return node_nack(n, image, m, 1000, e);
	default:
		return 0;
	}
}

/* Messages one after the other: a length byte before each. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct entity challenges = {.name = "acme_challenges"};
	size_t sent = 0;
	const struct node_sink sink = {swallow, &sent};
	struct image image;
	struct node node;
	size_t at = 0;
	uint64_t revision = 5;

	image_init(&image);
	image_reset(&image, "e");
	node_init(&node);
	image_commit(&image, revision, 2);
	while (at < size) {
		size_t n = data[at++];
		struct node_message m;
		struct err e = ERR_INIT;
		enum node_pump result;

		n = n < size - at ? n : size - at;
		if (node_message_decode(&m, (struct str){(const char *)data + at, n}, &e) == 0) {
			read_message(&m);
			if (give(&node, &image, &m, &e) == 0 &&
			    node_pump(&node, &image, &sink, 1000, &result, &e) != 0)
				abort();
			node_message_free(&m);
		} else if (e.kind != ERR_INVALID) {
			abort();
		}
		at += n;
		if (image_put(&image, &challenges, "00000000-0000-4000-8000-000000000001", NULL,
			      ++revision, &e) != 0)
			abort();
		image_commit(&image, revision, 2);
		node_image_commit(&node, &image, 1000);
		if (node_acked(&node) > revision && node.state != NODE_WAITING)
			abort();
	}
	node_leave(&node);
	node_deinit(&node);
	image_deinit(&image);
	return 0;
}
