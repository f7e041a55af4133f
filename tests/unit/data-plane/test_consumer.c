/* tables/consumer: consumers and authorities. */
#include "data-plane/tables/consumer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/pem.h>

#include "data-plane/tables/fields.h"
#include "tests/unit/lib/entity_bed.h"
#include "tests/unit/lib/oom.h"
#include "tests/unit/lib/testcert.h"
#include "tests/unit/lib/testentity.h"

static struct entity_bed bed;

static int setup(void **state)
{
	(void)state;
	entity_bed_init(&bed, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	entity_bed_deinit(&bed);
	return 0;
}

/* The first byte of the consumer's id; 0: none. */
static int by_username(const char *name)
{
	const struct consumer *c = consumer_by_username(&bed.tables->entities,
							tables_enter(bed.tables), str_from(name));

	rcu_leave();
	return c ? c->entity.id[0] : 0;
}

static int by_custom_id(const char *name)
{
	const struct consumer *c = consumer_by_custom_id(&bed.tables->entities,
							 tables_enter(bed.tables), str_from(name));

	rcu_leave();
	return c ? c->entity.id[0] : 0;
}

static void test_finding(void **state)
{
	const struct consumer *c;

	(void)state;
	entity_bed_put(&bed, ENTITIES_CONSUMER, 1, "username=Ann custom_id=x");
	entity_bed_put(&bed, ENTITIES_CONSUMER, 2, "username=x");
	entity_bed_put(&bed, ENTITIES_CONSUMER, 3, "custom_id=Ann");
	assert_int_equal(by_username("Ann"), 1);
	assert_int_equal(by_username("x"), 2);
	assert_int_equal(by_custom_id("x"), 1);
	assert_int_equal(by_custom_id("Ann"), 3);
	assert_int_equal(by_username("ann"), 0);
	assert_int_equal(by_username(""), 0);
	assert_int_equal(by_custom_id(""), 0);
	c = consumer_find(&bed.tables->entities, tables_enter(bed.tables), entity_bed_id(&bed, 3));
	rcu_leave();
	assert_null(c->username.ptr);
	assert_true(str_eq(c->custom_id, STR("Ann")));
	entity_bed_put(&bed, ENTITIES_CONSUMER, 1, "username=bob");
	assert_int_equal(by_username("Ann"), 0);
	assert_int_equal(by_username("bob"), 1);
	assert_int_equal(by_custom_id("x"), 0);
}

static void test_refused(void **state)
{
	static const char none[] = "it has neither username nor custom_id";
	static const char *const rows[] = {"", "username=", "username=%1",
					   "custom_id=", "tags=[a]"};
	static char big[16 + ENTITY_TEXT_MAX] = "username=";

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++)
		assert_string_equal(entity_bed_refusal(&bed, ENTITIES_CONSUMER, rows[i]), none);
	memset(big + 9, 'a', ENTITY_TEXT_MAX + 1);
	assert_string_equal(entity_bed_refusal(&bed, ENTITIES_CONSUMER, big),
			    "username: text of 2049 bytes: at most 2048 are allowed");
	assert_int_equal(by_username(big + 9), 0);
}

/* --- authorities --- */

static int stage_ca(struct str pem, struct err *e)
{
	struct arena memory;
	int rc;

	arena_init(&memory, 0);
	rc = entities_put(&bed.tables->entities, &bed.tables->txn, ENTITIES_CA_CERTIFICATE,
			  entity_bed_id(&bed, 1),
			  fields_of(testentity_text(&memory, "", "cert", pem)), pem, e);
	arena_deinit(&memory);
	return rc;
}

static void test_authorities(void **state)
{
	const struct ca_certificate *found;
	struct testca ca;
	struct str pem;
	BIO *text = BIO_new(BIO_s_mem());
	char *bytes;
	X509 *kept;

	(void)state;
	testca_init(&ca, "one");
	assert_int_equal(PEM_write_bio_X509(text, ca.cert), 1);
	pem.len = (size_t)BIO_get_mem_data(text, &bytes);
	pem.ptr = bytes;
	tables_begin(bed.tables, false);
	assert_int_equal(stage_ca(pem, NULL), 0);
	entity_bed_commit(&bed);
	found = ca_certificate_find(&bed.tables->entities, tables_enter(bed.tables),
				    entity_bed_id(&bed, 1));
	assert_non_null(found);
	kept = found->x509;
	assert_int_equal(X509_up_ref(kept), 1);
	rcu_leave();
	entity_bed_put(&bed, ENTITIES_CA_CERTIFICATE, 1, NULL);
	while (tables_reap(bed.tables))
		rcu_barrier();
	assert_int_equal(X509_cmp(kept, ca.cert), 0);
	X509_free(kept);
	BIO_free(text);
	testca_deinit(&ca);
}

static void test_authorities_refused(void **state)
{
	static const char *const rows[] = {
		"text", "-----BEGIN CERTIFICATE-----\n", "0\x82",
		"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"};

	(void)state;
	assert_string_equal(entity_bed_refusal(&bed, ENTITIES_CA_CERTIFICATE, ""),
			    "cert: there is none");
	assert_string_equal(entity_bed_refusal(&bed, ENTITIES_CA_CERTIFICATE, "cert="),
			    "cert: there is none");
	for (size_t i = 0; i < array_len(rows); i++) {
		struct err e = ERR_INIT;

		tables_begin(bed.tables, false);
		assert_int_equal(stage_ca(str_from(rows[i]), &e), -1);
		assert_true(str_starts(str_from(e.message), STR("cert: invalid certificate")));
		tables_abort(bed.tables);
	}
}

/* --- names in certificates --- */

/* How many there are, and the first byte of the first one's consumer and authority. */
static void check_named(enum entities_kind kind, const char *name, size_t count, unsigned consumer,
			unsigned ca)
{
	const struct entity_list *l = cert_credentials_named(
		&bed.tables->entities, tables_enter(bed.tables), kind, str_from(name));

	assert_int_equal(l ? l->count : 0, count);
	if (count > 0) {
		const struct cert_credential *c = entity_of(l->items[0], struct cert_credential);

		assert_true(str_eq(c->subject_name, str_from(name)));
		assert_int_equal(c->consumer[0], consumer);
		assert_int_equal(c->ca_certificate ? c->ca_certificate[0] : 0, ca);
	}
	rcu_leave();
}

static void check_credentials(enum entities_kind kind, enum entities_kind other)
{
	entity_bed_put(&bed, kind, 1, "subject_name=a.com consumer=#c");
	entity_bed_put(&bed, kind, 2, "subject_name=a.com consumer=#d ca_certificate=#r");
	entity_bed_put(&bed, kind, 3, "subject_name=A.com consumer=#e ca_certificate=#r");
	check_named(kind, "a.com", 2, 'c', 0);
	check_named(kind, "A.com", 1, 'e', 'r');
	check_named(kind, "a.co", 0, 0, 0);
	check_named(other, "a.com", 0, 0, 0);
	entity_bed_put(&bed, kind, 1, "subject_name=b.com consumer=#c");
	check_named(kind, "a.com", 1, 'd', 'r');
	check_named(kind, "b.com", 1, 'c', 0);
	entity_bed_put(&bed, kind, 1, NULL);
	check_named(kind, "b.com", 0, 0, 0);
	assert_string_equal(entity_bed_refusal(&bed, kind, "consumer=#c"),
			    "subject_name: there is none");
	assert_string_equal(entity_bed_refusal(&bed, kind, "subject_name=%1 consumer=#c"),
			    "subject_name: there is none");
	assert_string_equal(entity_bed_refusal(&bed, kind, "subject_name=a"),
			    "consumer: there is none");
	assert_string_equal(entity_bed_refusal(&bed, kind, "subject_name=a consumer=c"),
			    "consumer: there is none");
}

/* Those of one plugin are not the other's. */
static void test_credentials(void **state)
{
	(void)state;
	check_credentials(ENTITIES_MTLS_CREDENTIAL, ENTITIES_HEADER_CREDENTIAL);
	entity_bed_put(&bed, ENTITIES_MTLS_CREDENTIAL, 2, NULL);
	entity_bed_put(&bed, ENTITIES_MTLS_CREDENTIAL, 3, NULL);
	check_credentials(ENTITIES_HEADER_CREDENTIAL, ENTITIES_MTLS_CREDENTIAL);
}

static void change(void *arg)
{
	struct tables_culprit c;
	struct err e = ERR_INIT;

	(void)arg;
	tables_begin(bed.tables, false);
	if (entity_bed_stage(&bed, ENTITIES_CONSUMER, 1, "username=a custom_id=b", &e) == 0 &&
	    tables_commit(bed.tables, &c, &e) == 0) {
		assert_int_equal(by_username("a"), 1);
		return;
	}
	assert_int_equal(e.kind, ERR_MEMORY);
	tables_abort(bed.tables);
	assert_int_equal(by_username("a"), 0);
}

static void test_out_of_memory(void **state)
{
	(void)state;
	assert_true(oom_each(change, NULL) > 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_finding, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_authorities, setup, teardown),
		cmocka_unit_test_setup_teardown(test_authorities_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_credentials, setup, teardown),
		cmocka_unit_test_setup_teardown(test_out_of_memory, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
