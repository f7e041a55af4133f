/* What mtls-auth and header-cert-auth make of a certificate: who gets in, as whom, and what the
 * upstream and the others are told (TLS-09, TLS-10, TR-04). The plugins themselves are run. */
#include "data-plane/plugins/cert_auth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/core/codec.h"
#include "common/pki/cert.h"
#include "data-plane/plugins/plugins.h"
#include "data-plane/tables/fields.h"
#include "tests/unit/lib/entity_bed.h"
#include "tests/unit/lib/fake_request.h"
#include "tests/unit/lib/testentity.h"
#include "tests/unit/lib/testpki.h"

#define NOT_SENT "No required TLS certificate was sent"
#define NOT_VERIFIED "TLS certificate failed verification"

enum { ROOT_ID = 'r', OTHER_ID = 'o', PLUGIN_ID = 'p' };

static struct {
	struct testca root, other, alice, carol, anne, stranger, named;
	struct entity_bed bed;
} world;

static void put_authority(unsigned id, X509 *cert)
{
	struct tables *t = world.bed.tables;
	struct buf pem = BUF_INIT;
	struct err e = ERR_INIT;
	struct arena a;

	arena_init(&a, 0);
	assert_int_equal(cert_to_pem(&pem, cert, NULL), 0);
	tables_begin(t, false);
	if (entities_put(&t->entities, &t->txn, ENTITIES_CA_CERTIFICATE,
			 entity_bed_id(&world.bed, id),
			 fields_of(testentity_text(&a, "", "cert", buf_str(&pem))), buf_str(&pem),
			 &e) < 0)
		fail_msg("%s", e.message);
	entity_bed_commit(&world.bed);
	buf_deinit(&pem);
	arena_deinit(&a);
}

static int setup(void **state)
{
	(void)state;
	testpki_make(&world.root, NULL, &(struct testpki_options){.name = "root", .ca = true});
	testpki_make(&world.other, NULL, &(struct testpki_options){.name = "other", .ca = true});
	testpki_make(&world.alice, &world.root, &(struct testpki_options){.name = "alice"});
	testpki_make(&world.carol, &world.root, &(struct testpki_options){.name = "42"});
	testpki_make(&world.anne, &world.root, &(struct testpki_options){.name = "anne"});
	testpki_make(&world.stranger, &world.other, &(struct testpki_options){.name = "alice"});
	testpki_make(&world.named, &world.root,
		     &(struct testpki_options){.name = "alice",
					       .san = "DNS:nobody.example,email:bob@example.com"});
	entity_bed_init(&world.bed, plugin_kinds);
	put_authority(ROOT_ID, world.root.cert);
	put_authority(OTHER_ID, world.other.cert);
	entity_bed_put(&world.bed, ENTITIES_CONSUMER, 'a', "username=alice custom_id=17");
	entity_bed_put(&world.bed, ENTITIES_CONSUMER, 'b', "username=bob@example.com");
	entity_bed_put(&world.bed, ENTITIES_CONSUMER, 'c', "username=carol custom_id=42");
	entity_bed_put(&world.bed, ENTITIES_CONSUMER, 'g', "username=guest");
	entity_bed_put(&world.bed, ENTITIES_CONSUMER, 'd', "custom_id=everybody");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	entity_bed_deinit(&world.bed);
	testca_deinit(&world.root);
	testca_deinit(&world.other);
	testca_deinit(&world.alice);
	testca_deinit(&world.carol);
	testca_deinit(&world.anne);
	testca_deinit(&world.stranger);
	testca_deinit(&world.named);
	return 0;
}

/* The plugin's config as its kind reads it, from the tables. */
static const void *configured(const char *name, const char *config)
{
	char fields[512];
	const struct entity *en;
	const void *out;

	snprintf(fields, sizeof(fields), "name=%s config={%s}", name, config);
	entity_bed_put(&world.bed, ENTITIES_PLUGIN, PLUGIN_ID, fields);
	en = entities_find(&world.bed.tables->entities, tables_enter(world.bed.tables),
			   ENTITIES_PLUGIN, entity_bed_id(&world.bed, PLUGIN_ID));
	assert_non_null(en);
	out = entity_of(en, struct plugin)->config;
	rcu_leave();
	return out;
}

struct who_row {
	const char *name, *config;
	const struct testca *client; /* NULL: no certificate */
	unsigned status;	     /* 0: it gets in */
	const char *message;
	char consumer; /* id; 0: none */
	bool anonymous;
	const char *credential; /* "-": none is told, NULL: not touched */
};

#define TRUST "ca_certificates:[#r];revocation_check_mode:SKIP"
#define UUID_OF_G "67676767-6767-6767-6767-676767676767"

static const struct who_row who_rows[] = {
	{"by username", TRUST, &world.alice, 0, NULL, 'a', false, "alice"},
	{"by custom_id", TRUST, &world.carol, 0, NULL, 'c', false, "42"},
	{"by the second alternative name", TRUST, &world.named, 0, NULL, 'b', false,
	 "bob@example.com"},
	{"default", TRUST ";default_consumer:guest", &world.anne, 0, NULL, 'g', false, "-"},
	{"default by id", TRUST ";default_consumer:" UUID_OF_G, &world.anne, 0, NULL, 'g', false,
	 "-"},
	{"anonymous", TRUST ";anonymous:guest", NULL, 0, NULL, 'g', true, "-"},
	{"anonymous by id", TRUST ";anonymous:" UUID_OF_G, &world.stranger, 0, NULL, 'g', true,
	 "-"},
	{"anonymous for one who is not known", TRUST ";anonymous:guest", &world.anne, 0, NULL, 'g',
	 true, "-"},
	{"known before anonymous", TRUST ";anonymous:guest", &world.alice, 0, NULL, 'a', false,
	 "alice"},
	{"no look-up", TRUST ";skip_consumer_lookup:!", &world.anne, 0, NULL, 0, false, NULL},
	{"one of two authorities", "ca_certificates:[#r,#o];revocation_check_mode:SKIP",
	 &world.stranger, 0, NULL, 'a', false, "alice"},
	{"nobody asked, and no source", "ca_certificates:[#r]", &world.alice, 0, NULL, 'a', false,
	 "alice"},
	{"none sent", TRUST, NULL, 401, NOT_SENT, 0, false, NULL},
	{"another authority", TRUST, &world.stranger, 401, NOT_VERIFIED, 0, false, NULL},
	{"another authority, no look-up", TRUST ";skip_consumer_lookup:!", &world.stranger, 401,
	 NOT_VERIFIED, 0, false, NULL},
	{"another authority, default", TRUST ";default_consumer:guest", &world.stranger, 401,
	 NOT_VERIFIED, 0, false, NULL},
	{"nobody's", TRUST, &world.anne, 401, NOT_VERIFIED, 0, false, NULL},
	{"by username only", TRUST ";consumer_by:[username]", &world.carol, 401, NOT_VERIFIED, 0,
	 false, NULL},
	{"by custom_id only", TRUST ";consumer_by:[custom_id]", &world.alice, 401, NOT_VERIFIED, 0,
	 false, NULL},
	{"by nothing", TRUST ";consumer_by:[]", &world.alice, 401, NOT_VERIFIED, 0, false, NULL},
	{"no source, strict", "ca_certificates:[#r];revocation_check_mode:STRICT", &world.alice,
	 401, NOT_VERIFIED, 0, false, NULL},
	{"anonymous does not exist", TRUST ";anonymous:ghost", NULL, 500,
	 "An unexpected error occurred", 0, false, NULL},
};

static void check_who(const struct who_row *row, const struct request *r,
		      enum plugin_verdict verdict)
{
	const char *id = fake_request_field(r, "x-consumer-id");
	const char *credential = fake_request_field(r, "x-credential-identifier");
	char text[UUID_TEXT_SIZE];

	if (r->status != row->status || (verdict == PLUGIN_ANSWERED) != (row->status != 0))
		fail_msg("%s: %u %s", row->name, r->status, r->body.ptr ? r->body.ptr : "");
	if (row->message)
		assert_string_equal(r->body.ptr, row->message);
	assert_int_equal(r->has_consumer, row->consumer != 0);
	if (!row->consumer) {
		assert_null(id);
		return;
	}
	assert_int_equal(r->consumer[0], row->consumer);
	assert_int_equal(r->anonymous, row->anonymous);
	uuid_text(r->consumer, text);
	assert_string_equal(id, text);
	assert_string_equal(fake_request_field(r, "x-anonymous-consumer"),
			    row->anonymous ? "true" : "-");
	assert_string_equal(credential, row->credential);
}

static void test_who(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(who_rows); i++) {
		const struct who_row *row = &who_rows[i];
		const void *config = configured("mtls-auth", row->config);
		struct request r;

		fake_request_init(&r, world.bed.tables);
		r.certificate = row->client ? row->client->cert : NULL;
		check_who(row, &r, plugin_mtls_auth.access(&r, config));
		rcu_leave();
		fake_request_deinit(&r);
	}
}

/* Mappings by hand; each row with its own. */
struct hand_row {
	const char *mappings[3]; /* ids 1, 2, 3 */
	struct who_row who;
};

#define HAND_1 "01010101-0101-0101-0101-010101010101"
#define HAND_2 "02020202-0202-0202-0202-020202020202"
#define BOTH "ca_certificates:[#r,#o];revocation_check_mode:SKIP"

static const struct hand_row hand_rows[] = {
	{{"subject_name=anne consumer=#c"},
	 {"of any authority", TRUST, &world.anne, 0, NULL, 'c', false, HAND_1}},
	{{"subject_name=anne consumer=#c ca_certificate=#r"},
	 {"of its authority", TRUST, &world.anne, 0, NULL, 'c', false, HAND_1}},
	{{"subject_name=anne consumer=#c", "subject_name=anne consumer=#b ca_certificate=#r"},
	 {"the authority's first", TRUST, &world.anne, 0, NULL, 'b', false, HAND_2}},
	{{"subject_name=alice consumer=#c"},
	 {"before a username", TRUST, &world.alice, 0, NULL, 'c', false, HAND_1}},
	{{"subject_name=bob@example.com consumer=#c", "subject_name=alice consumer=#g"},
	 {"alternative names only", TRUST, &world.named, 0, NULL, 'c', false, HAND_1}},
	{{"subject_name=bob@example.com consumer=#c ca_certificate=#r",
	  "subject_name=nobody.example consumer=#g"},
	 {"the authority's before the first name", TRUST, &world.named, 0, NULL, 'c', false,
	  HAND_1}},
	{{"subject_name=anne consumer=#c"},
	 {"nothing else", TRUST ";consumer_by:[]", &world.anne, 0, NULL, 'c', false, HAND_1}},
	{{"subject_name=alice consumer=#c ca_certificate=#o"},
	 {"of two authorities", BOTH, &world.stranger, 0, NULL, 'c', false, HAND_1}},
	{{"subject_name=alice consumer=#c ca_certificate=#o"},
	 {"of the other authority", BOTH, &world.alice, 0, NULL, 'a', false, "alice"}},
	{{"subject_name=anne consumer=#c ca_certificate=#o"},
	 {"of the other authority alone", BOTH, &world.anne, 401, NOT_VERIFIED, 0, false, NULL}},
	{{"subject_name=anne consumer=#c ca_certificate=#z"},
	 {"of an authority that is not there", TRUST, &world.anne, 401, NOT_VERIFIED, 0, false,
	  NULL}},
	{{"subject_name=Anne consumer=#c"},
	 {"another name", TRUST, &world.anne, 401, NOT_VERIFIED, 0, false, NULL}},
	{{"subject_name=ann consumer=#c"},
	 {"a part of it", TRUST, &world.anne, 401, NOT_VERIFIED, 0, false, NULL}},
	{{"subject_name=anne consumer=#y"},
	 {"a consumer that is not there", TRUST, &world.anne, 401, NOT_VERIFIED, 0, false, NULL}},
	{{"subject_name=alice consumer=#c"},
	 {"not trusted", TRUST, &world.stranger, 401, NOT_VERIFIED, 0, false, NULL}},
	{{"subject_name=alice consumer=#c"},
	 {"no look-up", TRUST ";skip_consumer_lookup:!", &world.alice, 0, NULL, 0, false, NULL}},
	{{"subject_name=anne consumer=#c"},
	 {"before the default", TRUST ";default_consumer:guest", &world.anne, 0, NULL, 'c', false,
	  HAND_1}},
	{{"subject_name=anne consumer=#c"},
	 {"before anonymous", TRUST ";anonymous:guest", &world.anne, 0, NULL, 'c', false, HAND_1}},
};

static void put_mappings(const struct hand_row *row, bool there)
{
	for (unsigned i = 0; i < array_len(row->mappings) && row->mappings[i]; i++)
		entity_bed_put(&world.bed, ENTITIES_MTLS_CREDENTIAL, i + 1,
			       there ? row->mappings[i] : NULL);
}

static void test_by_hand(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(hand_rows); i++) {
		const struct who_row *row = &hand_rows[i].who;
		const void *config = configured("mtls-auth", row->config);
		struct request r;

		put_mappings(&hand_rows[i], true);
		fake_request_init(&r, world.bed.tables);
		r.certificate = row->client->cert;
		check_who(row, &r, plugin_mtls_auth.access(&r, config));
		rcu_leave();
		fake_request_deinit(&r);
		put_mappings(&hand_rows[i], false);
	}
}

static void test_headers(void **state)
{
	const void *config = configured("mtls-auth", TRUST);
	struct request r;

	(void)state;
	fake_request_init(&r, world.bed.tables);
	r.certificate = world.alice.cert;
	assert_int_equal(plugin_mtls_auth.access(&r, config), PLUGIN_NEXT);
	assert_string_equal(fake_request_field(&r, "X-Consumer-Username"), "alice");
	assert_string_equal(fake_request_field(&r, "X-Consumer-Custom-ID"), "17");
	assert_null(fake_request_field(&r, "X-Client-Cert-Dn"));
	rcu_leave();
	fake_request_deinit(&r);

	config = configured("mtls-auth", TRUST ";default_consumer:guest");
	fake_request_init(&r, world.bed.tables);
	r.certificate = world.anne.cert;
	assert_int_equal(plugin_mtls_auth.access(&r, config), PLUGIN_NEXT);
	assert_string_equal(fake_request_field(&r, "X-Consumer-Custom-ID"), "-");
	rcu_leave();
	fake_request_deinit(&r);

	config = configured("mtls-auth", TRUST ";skip_consumer_lookup:!");
	fake_request_init(&r, world.bed.tables);
	r.certificate = world.named.cert;
	assert_int_equal(plugin_mtls_auth.access(&r, config), PLUGIN_NEXT);
	assert_string_equal(fake_request_field(&r, "X-Client-Cert-Dn"), "CN=alice");
	assert_string_equal(fake_request_field(&r, "X-Client-Cert-San"),
			    "nobody.example,bob@example.com");
	assert_null(fake_request_field(&r, "X-Consumer-ID"));
	rcu_leave();
	fake_request_deinit(&r);
}

/* With anonymous set one of several plugins is enough; without, each must be content. */
static void test_several(void **state)
{
	const void *config = configured("mtls-auth", TRUST ";anonymous:guest");
	struct request r;

	(void)state;
	fake_request_init(&r, world.bed.tables);
	r.certificate = world.alice.cert;
	assert_int_equal(plugin_mtls_auth.access(&r, config), PLUGIN_NEXT);
	r.certificate = NULL;
	assert_int_equal(plugin_mtls_auth.access(&r, config), PLUGIN_NEXT);
	assert_int_equal(r.consumer[0], 'a');
	config = configured("mtls-auth", TRUST);
	assert_int_equal(plugin_mtls_auth.access(&r, config), PLUGIN_ANSWERED);
	assert_int_equal(r.status, 401);
	rcu_leave();
	fake_request_deinit(&r);
}

/* TLS-10: nobody to trust never means that everybody is trusted. */
static void test_no_authority(void **state)
{
	static const char *const refused[] = {
		"name=mtls-auth",
		"name=mtls-auth config={ca_certificates:[]}",
		"name=mtls-auth config={ca_certificates:[x]}",
		"name=mtls-auth config={ca_certificates:'x}",
		"name=mtls-auth config={ca_certificates:[#r];revocation_check_mode:x}",
		"name=mtls-auth config={ca_certificates:[#r];consumer_by:[cn]}",
		"name=mtls-auth config={ca_certificates:[#r];http_timeout:%0}",
		"name=mtls-auth config={ca_certificates:[#r];cert_cache_ttl:%-1}",
		"name=mtls-auth config={ca_certificates:[#r];http_proxy_host:p}",
		"name=header-cert-auth config={ca_certificates:[#r]}",
		"name=header-cert-auth config={ca_certificates:[#r];certificate_header_name:x}",
		("name=header-cert-auth config={ca_certificates:[#r];certificate_header_name:x;"
		 "certificate_header_format:pem}"),
		("name=header-cert-auth config={certificate_header_name:x;"
		 "certificate_header_format:rfc9440}"),
	};
	struct tables *t = world.bed.tables;
	struct tables_culprit culprit;
	struct err e = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < array_len(refused); i++)
		if (!*entity_bed_refusal(&world.bed, ENTITIES_PLUGIN, refused[i]))
			fail_msg("%s", refused[i]);
	/* One that is not there: the revision is refused, and the plugin named. */
	tables_begin(t, false);
	assert_int_equal(entity_bed_stage(&world.bed, ENTITIES_PLUGIN, 'q',
					  "name=mtls-auth config={ca_certificates:[#r,#z]}", &e),
			 0);
	assert_int_equal(tables_commit(t, &culprit, &e), -1);
	assert_int_equal(e.kind, ERR_INVALID);
	assert_int_equal(culprit.id[0], 'q');
	tables_abort(t);
}

/* An authority that went after all leaves nobody to be trusted. */
static void test_lost_authority(void **state)
{
	const void *config;
	struct request r;

	(void)state;
	put_authority('l', world.root.cert);
	config = configured("mtls-auth", "ca_certificates:[#l];revocation_check_mode:SKIP");
	entity_bed_put(&world.bed, ENTITIES_CA_CERTIFICATE, 'l', NULL);
	fake_request_init(&r, world.bed.tables);
	r.certificate = world.alice.cert;
	assert_int_equal(plugin_mtls_auth.access(&r, config), PLUGIN_ANSWERED);
	assert_int_equal(r.status, 401);
	rcu_leave();
	fake_request_deinit(&r);
}

static void test_asks(void **state)
{
	const void *config = configured("mtls-auth", "ca_certificates:[#r,#o];send_ca_dn:!");
	struct plugin_authorities a;

	(void)state;
	assert_true(plugin_mtls_auth.kind.asks_certificate(config));
	a = plugin_mtls_auth.kind.authorities(config);
	assert_int_equal(a.count, 2);
	assert_int_equal(a.ids[0], 'r');
	assert_int_equal(a.ids[16], 'o');
	assert_true(a.offered);
	config = configured("mtls-auth", TRUST);
	assert_false(plugin_mtls_auth.kind.authorities(config).offered);
	assert_true(plugin_tls_handshake_modifier.kind.asks_certificate(NULL));
	assert_null(plugin_header_cert_auth.kind.asks_certificate);
}

/* --- header-cert-auth --- */

#define HEADER TRUST ";certificate_header_name:client-cert;certificate_header_format:rfc9440"

static void add_certificate(struct request *r, const char *name, X509 *cert)
{
	struct buf der = BUF_INIT, text = BUF_INIT;

	assert_int_equal(cert_to_der(&der, cert, NULL), 0);
	assert_int_equal(buf_add(&text, ":", 1, NULL), 0);
	assert_int_equal(base64_encode(&text, buf_str(&der), NULL), 0);
	assert_int_equal(buf_add(&text, ":", 1, NULL), 0);
	fake_request_add(r, name, text.data);
	buf_deinit(&der);
	buf_deinit(&text);
}

struct header_row {
	const char *name, *config;
	bool trusted;
	const struct testca *client;
	const char *value; /* in place of a certificate */
	unsigned status;
	const char *message;
};

static const struct header_row header_rows[] = {
	{"trusted", HEADER, true, &world.alice, NULL, 0, NULL},
	{"any source", HEADER ";secure_source:!no", false, &world.alice, NULL, 0, NULL},
	{"stranger", HEADER, false, &world.alice, NULL, 401, NOT_SENT},
	{"none", HEADER, true, NULL, NULL, 401, NOT_SENT},
	{"another authority", HEADER, true, &world.stranger, NULL, 401, NOT_VERIFIED},
	{"malformed", HEADER, true, NULL, ":AAAA:", 401, NOT_VERIFIED},
	{"no byte sequence", HEADER, true, NULL, "AAAA", 401, NOT_VERIFIED},
	{"malformed, any source", HEADER ";secure_source:!no", false, NULL, "x", 401, NOT_VERIFIED},
};

static void test_header(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(header_rows); i++) {
		const struct header_row *row = &header_rows[i];
		const void *config = configured("header-cert-auth", row->config);
		struct request r;

		fake_request_init(&r, world.bed.tables);
		r.client.trusted = row->trusted;
		/* The handshake's is another matter. */
		r.certificate = world.carol.cert;
		if (row->client)
			add_certificate(&r, "client-cert", row->client->cert);
		else if (row->value)
			fake_request_add(&r, "client-cert", row->value);
		(void)plugin_header_cert_auth.access(&r, config);
		if (r.status != row->status)
			fail_msg("%s: %u", row->name, r.status);
		if (row->message)
			assert_string_equal(r.body.ptr, row->message);
		else
			assert_int_equal(r.consumer[0], 'a');
		rcu_leave();
		fake_request_deinit(&r);
	}
}

/* TR-04: what a stranger says of itself does not reach the upstream, whoever lets it in. */
static void test_header_of_stranger(void **state)
{
	const void *config = configured("header-cert-auth", HEADER ";anonymous:guest");
	struct request r;

	(void)state;
	fake_request_init(&r, world.bed.tables);
	add_certificate(&r, "client-cert", world.alice.cert);
	add_certificate(&r, "client-cert-chain", world.root.cert);
	assert_int_equal(plugin_header_cert_auth.access(&r, config), PLUGIN_NEXT);
	assert_int_equal(r.consumer[0], 'g');
	assert_string_equal(fake_request_field(&r, "client-cert"), "-");
	assert_string_equal(fake_request_field(&r, "client-cert-chain"), "-");
	rcu_leave();
	fake_request_deinit(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who),
		cmocka_unit_test(test_by_hand),
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_several),
		cmocka_unit_test(test_no_authority),
		cmocka_unit_test(test_lost_authority),
		cmocka_unit_test(test_asks),
		cmocka_unit_test(test_header),
		cmocka_unit_test(test_header_of_stranger),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
