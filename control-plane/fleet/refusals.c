/* What data planes refused. */
#include "control-plane/fleet/refusals.h"

#include "common/core/log.h"

int refusals_init(struct refusals *r, struct store *s, struct image *m, struct err *e)
{
	memset(r, 0, sizeof(*r));
	r->store = s;
	r->image = m;
	r->pending = json_array();
	return r->pending ? 0 : err_memory(e, "refusals");
}

static void release(struct refusals *r)
{
	if (r->writing || !r->closing)
		return;
	json_decref(r->pending);
	r->pending = NULL;
	if (r->closed)
		r->closed(r->arg);
}

void refusals_close(struct refusals *r, void (*closed)(void *arg), void *arg)
{
	r->closing = true;
	r->closed = closed;
	r->arg = arg;
	release(r);
}

static const struct entity *entity_of(const json_t *item)
{
	return entity_find(str_from(json_string_value(json_object_get(item, "kind"))));
}

static bool is_suspect(const struct refusals *r, const json_t *item)
{
	return image_is_suspect(r->image, entity_of(item),
				json_string_value(json_object_get(item, "id")));
}

/* What the feed has told about since is no suspect any more. */
static void drop_settled(struct refusals *r)
{
	for (size_t i = json_array_size(r->pending); i > 0; i--)
		if (!is_suspect(r, json_array_get(r->pending, i - 1)))
			json_array_remove(r->pending, i - 1);
}

static bool is_pending(const struct refusals *r, const char *kind, const char *id)
{
	size_t i;
	json_t *item;

	json_array_foreach(r->pending, i, item)
	{
		if (strcmp(json_string_value(json_object_get(item, "kind")), kind) == 0 &&
		    strcmp(json_string_value(json_object_get(item, "id")), id) == 0)
			return true;
	}
	return false;
}

static void write_now(struct refusals *r);

static void on_written(const struct store_result *res, void *arg)
{
	struct refusals *r = arg;

	r->writing = false;
	if (res->err.kind != ERR_NONE)
		log_warn("refusals could not be noted; what was refused goes to nobody meanwhile",
			 log_err(&res->err));
	if (r->again && res->err.kind == ERR_NONE)
		write_now(r);
	release(r);
}

static void write_now(struct refusals *r)
{
	r->again = r->writing;
	if (r->writing || r->closing || json_array_size(r->pending) == 0)
		return;
	r->writing = true;
	store_refuse(r->store, r->pending, on_written, r);
}

void refusals_tick(struct refusals *r)
{
	drop_settled(r);
	write_now(r);
}

static json_t *item_of(const struct node *n)
{
	const struct node_nack *why = &n->nack;

	return json_pack("{s:s, s:s, s:I, s:{s:s, s:s, s:I}}", "kind", why->kind, "id", why->id,
			 "revision", (json_int_t)why->revision, "refusal", "node", n->id, "reason",
			 why->reason, "at", (json_int_t)why->at);
}

void refusals_note(struct refusals *r, const struct node *n)
{
	const struct node_nack *why = &n->nack;
	const struct entity *t = entity_find(str_from(why->kind));

	if (why->revision == 0 || !t || !t->pushed || why->id[0] == '\0')
		return;
	drop_settled(r);
	if (is_pending(r, why->kind, why->id))
		return;
	if (r->image->held + json_array_size(r->pending) >= REFUSALS_MAX) {
		log_error("too many entities are held back: this one is not",
			  log_str("kind", why->kind), log_str("id", why->id));
		return;
	}
	if (!image_suspect(r->image, t, why->id, why->revision))
		return;
	if (json_array_append_new(r->pending, item_of(n))) {
		image_trust(r->image, t, why->id);
		log_error("out of memory: a refused entity is not held back",
			  log_str("kind", why->kind), log_str("id", why->id));
		return;
	}
	log_warn("an entity is held back: a data plane refused it", log_str("kind", why->kind),
		 log_str("id", why->id), log_u64("revision", why->revision));
	write_now(r);
}
