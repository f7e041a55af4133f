#include "data-plane/tables/consumer.h"

#include <openssl/x509v3.h>

#include "common/pki/cert.h"
#include "data-plane/tables/entity_type.h"

enum { KEY_USERNAME = 'u', KEY_CUSTOM_ID = 'c', KEY_SUBJECT = 's' };

/* --- consumers --- */

static int make_consumer(struct entity *en, const struct fields *f, const struct entities *t,
			 struct err *e)
{
	struct consumer *c = entity_of(en, struct consumer);

	(void)t;
	if (entity_text(en, f, "username", false, &c->username, e) < 0 ||
	    entity_text(en, f, "custom_id", false, &c->custom_id, e) < 0)
		return -1;
	if (!c->username.ptr && !c->custom_id.ptr)
		return err_set(e, ERR_INVALID, "it has neither username nor custom_id");
	if (c->username.ptr && entity_add_key(en, KEY_USERNAME, c->username, e) < 0)
		return -1;
	return c->custom_id.ptr ? entity_add_key(en, KEY_CUSTOM_ID, c->custom_id, e) : 0;
}

const struct entity_type consumer_entities = {.size = sizeof(struct consumer),
					      .make = make_consumer};

static const struct consumer *consumer_of(const struct entity *en)
{
	return en ? entity_of(en, struct consumer) : NULL;
}

const struct consumer *consumer_find(const struct entities *t, uint64_t generation,
				     const unsigned char id[ENTITY_ID_SIZE])
{
	return consumer_of(entities_find(t, generation, ENTITIES_CONSUMER, id));
}

const struct consumer *consumer_by_username(const struct entities *t, uint64_t generation,
					    struct str username)
{
	return consumer_of(entity_first(t, generation, ENTITIES_CONSUMER, KEY_USERNAME, username));
}

const struct consumer *consumer_by_custom_id(const struct entities *t, uint64_t generation,
					     struct str custom_id)
{
	return consumer_of(
		entity_first(t, generation, ENTITIES_CONSUMER, KEY_CUSTOM_ID, custom_id));
}

/* --- authorities --- */

static int make_ca(struct entity *en, const struct fields *f, const struct entities *t,
		   struct err *e)
{
	struct ca_certificate *c = entity_of(en, struct ca_certificate);
	struct str pem = fields_text(f, "cert");

	(void)t;
	if (!pem.len)
		return err_set(e, ERR_INVALID, "cert: there is none");
	if (cert_leaf_from_pem(&c->x509, pem, e) < 0)
		return err_prefix(e, "cert");
	/* Looks into its extensions now: workers share it and would have to lock. */
	(void)X509_check_purpose(c->x509, -1, 0);
	return 0;
}

static void drop_ca(struct entity *en)
{
	X509_free(entity_of(en, struct ca_certificate)->x509);
}

const struct entity_type ca_certificate_entities = {
	.size = sizeof(struct ca_certificate), .make = make_ca, .drop = drop_ca};

const struct ca_certificate *ca_certificate_find(const struct entities *t, uint64_t generation,
						 const unsigned char id[ENTITY_ID_SIZE])
{
	const struct entity *en = entities_find(t, generation, ENTITIES_CA_CERTIFICATE, id);

	return en ? entity_of(en, struct ca_certificate) : NULL;
}

/* --- names in certificates --- */

static int make_credential(struct entity *en, const struct fields *f, const struct entities *t,
			   struct err *e)
{
	struct cert_credential *c = entity_of(en, struct cert_credential);

	(void)t;
	if (entity_text(en, f, "subject_name", false, &c->subject_name, e) < 0 ||
	    entity_id(en, f, "consumer", &c->consumer, e) < 0 ||
	    entity_id(en, f, "ca_certificate", &c->ca_certificate, e) < 0)
		return -1;
	if (!c->subject_name.ptr)
		return err_set(e, ERR_INVALID, "subject_name: there is none");
	if (!c->consumer)
		return err_set(e, ERR_INVALID, "consumer: there is none");
	return entity_add_key(en, KEY_SUBJECT, c->subject_name, e);
}

const struct entity_type cert_credential_entities = {.size = sizeof(struct cert_credential),
						     .make = make_credential};

const struct entity_list *cert_credentials_named(const struct entities *t, uint64_t generation,
						 enum entities_kind kind, struct str subject_name)
{
	return entity_by_key(t, generation, kind, KEY_SUBJECT, subject_name);
}
