/* Ids of entities that come without: version 5 (RFC 9562 section 5.5), out of what names them. */
#include <openssl/evp.h>
#include <stdlib.h>

#include "control-plane/model/declarative_internal.h"

enum { SHA1_BYTES = 20, UUID_BYTES = 16 };

/* Kong's namespace of all entities; below it, one for each kind by its name. */
static const char entities_namespace[] = "fd02801f-0957-4a15-a55a-c8d9606f30b5";

static void make_v5(const unsigned char space[UUID_BYTES], struct str name,
		    unsigned char out[UUID_BYTES])
{
	unsigned char digest[SHA1_BYTES] = {0};
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	/* Fails only for want of memory: the ids are then equal, and refused as such. */
	if (ctx && EVP_DigestInit_ex(ctx, EVP_sha1(), NULL) == 1 &&
	    EVP_DigestUpdate(ctx, space, UUID_BYTES) == 1 &&
	    EVP_DigestUpdate(ctx, name.ptr, name.len) == 1)
		(void)EVP_DigestFinal_ex(ctx, digest, NULL);
	EVP_MD_CTX_free(ctx);
	memcpy(out, digest, UUID_BYTES);
	out[6] = (unsigned char)((out[6] & 0x0f) | 0x50);
	out[8] = (unsigned char)((out[8] & 0x3f) | 0x80);
}

void declarative_id(const struct entity *t, struct str key, char out[UUID_TEXT_SIZE])
{
	unsigned char space[UUID_BYTES];

	uuid_bytes(str_from(entities_namespace), space);
	make_v5(space, str_from(t->name), space);
	make_v5(space, key, space);
	uuid_text(space, out);
}

static struct str text_of(const json_t *value)
{
	return (struct str){json_string_value(value), json_string_length(value)};
}

/* "plugins:name:route:service:consumer" */
static int scoped_key(const struct declarative *d, const struct declarative_item *item,
		      struct buf *out)
{
	static const char *const scopes[] = {"route", "service", "consumer"};
	const char *name = json_string_value(json_object_get(item->input, "name"));

	if (!name || buf_addf(out, NULL, "%s:%s", item->entity->name, name) < 0)
		return -1;
	for (size_t i = 0; i < array_len(scopes); i++) {
		const char *id = declarative_refers(
			d, item, entity_field(item->entity, str_from(scopes[i])));

		if (buf_addf(out, NULL, ":%s", id ? id : "") < 0)
			return -1;
	}
	return 0;
}

/* The name, and below a parent (targets) the parent's id. */
static int named_key(const struct declarative *d, const struct declarative_item *item,
		     struct buf *out)
{
	const struct entity *t = item->entity;
	const json_t *name = t->endpoint_key ? json_object_get(item->input, t->endpoint_key) : NULL;

	if (!json_is_string(name) || buf_add_str(out, text_of(name), NULL) < 0)
		return -1;
	for (size_t i = 0; i < t->field_count && t->below_parent; i++) {
		const char *id;

		if (t->fields[i].type != FIELD_FOREIGN)
			continue;
		id = declarative_refers(d, item, &t->fields[i]);
		if (buf_addf(out, NULL, ":%s", id ? id : "") < 0)
			return -1;
	}
	return 0;
}

/* All that it says, or the certificate: without its key, which is nothing to make an id of. */
static int content_key(const struct declarative *d, const struct declarative_item *item,
		       struct buf *out)
{
	const json_t *cert = json_object_get(item->input, "cert");
	json_t *own;
	char *text;
	int rc;

	if (json_is_string(cert))
		return buf_add_str(out, text_of(cert), NULL);
	own = declarative_own(item->entity, item->input);
	text = own ? json_dumps(own, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
	rc = text ? buf_addf(out, NULL, "%s:%s",
			     item->parent == DECLARATIVE_TOP ? "" : d->items[item->parent].id, text)
		  : -1;
	free(text);
	json_decref(own);
	return rc;
}

/* The same content twice is two entities. */
static int number_id(struct declarative_item *item, struct str key, struct map *occurrences)
{
	size_t n = (size_t)(uintptr_t)map_get(occurrences, str_from(item->id)) + 1;
	struct buf numbered = BUF_INIT;
	int rc;

	if (map_put(occurrences, str_from(item->id), (void *)(uintptr_t)n, NULL, NULL) < 0)
		return -1;
	if (n == 1)
		return 0;
	rc = buf_addf(&numbered, NULL, "%zu:", n);
	if (rc == 0)
		rc = buf_add_str(&numbered, key, NULL);
	declarative_id(item->entity, buf_str(&numbered), item->id);
	buf_deinit(&numbered);
	return rc;
}

static int make_id(const struct declarative *d, struct declarative_item *item,
		   struct map *occurrences)
{
	struct buf key = {.secret = true};
	bool content = false;
	int rc;

	if (item->entity == &entity_plugins)
		rc = scoped_key(d, item, &key);
	else
		rc = named_key(d, item, &key);
	if (rc < 0) {
		buf_clear(&key);
		content = true;
		rc = content_key(d, item, &key);
	}
	declarative_id(item->entity, buf_str(&key), item->id);
	if (rc == 0 && content)
		rc = number_id(item, buf_str(&key), occurrences);
	buf_deinit(&key);
	return rc;
}

int declarative_take_id(const struct declarative *d, struct declarative_item *item,
			struct map *occurrences)
{
	const json_t *given = json_object_get(item->input, "id");
	unsigned char bytes[UUID_BYTES];

	if (!json_is_string(given) || !uuid_is(text_of(given)))
		return make_id(d, item, occurrences);
	uuid_bytes(text_of(given), bytes);
	uuid_text(bytes, item->id);
	return 0;
}
