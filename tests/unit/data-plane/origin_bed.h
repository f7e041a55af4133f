/* What tests of origins share: authorities, a global trust, certificates for clients, and services
 * in short. */
#ifndef CARDEA_TESTS_ORIGIN_BED_H
#define CARDEA_TESTS_ORIGIN_BED_H

#include "common/pki/cert.h"
#include "data-plane/tables/fields.h"
#include "data-plane/tls/origin.h"
#include "tests/unit/lib/conn_pair.h"
#include "tests/unit/lib/entity_bed.h"
#include "tests/unit/lib/testchange.h"
#include "tests/unit/lib/testentity.h"

static struct {
	struct entity_bed tables;
	struct origin_tls_cache *cache;
	struct testca trusted, second, foreign;
	struct testcert_files files; /* the global bundle, and the global client certificate */
	unsigned events[ORIGIN_EVENTS];
} bed;

static void put_authority(unsigned id, X509 *cert)
{
	struct tables *t = bed.tables.tables;
	struct buf pem = BUF_INIT;
	struct arena a;

	arena_init(&a, 0);
	assert_int_equal(cert_to_pem(&pem, cert, NULL), 0);
	tables_begin(t, false);
	assert_int_equal(entities_put(&t->entities, &t->txn, ENTITIES_CA_CERTIFICATE,
				      entity_bed_id(&bed.tables, id),
				      fields_of(testentity_text(&a, "", "cert", buf_str(&pem))),
				      buf_str(&pem), NULL),
			 0);
	entity_bed_commit(&bed.tables);
	buf_deinit(&pem);
	arena_deinit(&a);
}

static void put_certificate(unsigned id, const struct testca *issuer, const char *name)
{
	const struct testcert_options o = {.name = name};
	struct buf leaf_der = BUF_INIT, key_der = BUF_INIT;
	struct tables *t = bed.tables.tables;
	struct cert_source s = {0};
	X509 *leaf;
	EVP_PKEY *key;

	testcert_issue(issuer, &o, &leaf, &key);
	s.leaf = testder_cert(&leaf_der, leaf);
	s.key = testder_key(&key_der, key);
	tables_begin(t, false);
	assert_int_equal(certs_put(&t->certs, &t->txn, entity_bed_id(&bed.tables, id), &s, 1, NULL),
			 0);
	entity_bed_commit(&bed.tables);
	X509_free(leaf);
	EVP_PKEY_free(key);
	buf_deinit(&leaf_der);
	buf_deinit(&key_der);
}

static void on_event(enum origin_event event, void *arg)
{
	(void)arg;
	bed.events[event]++;
}

static int setup(void **state)
{
	struct origin_tls_options o = {.verify_depth = 5, .sessions = 2, .on_event = on_event};
	struct err e = ERR_INIT;

	(void)state;
	memset(bed.events, 0, sizeof(bed.events));
	testca_init(&bed.trusted, "trusted");
	testca_init(&bed.second, "second");
	testca_init(&bed.foreign, "foreign");
	testcert_files_init(&bed.files, &bed.trusted, &bed.trusted, "DNS:global");
	entity_bed_init(&bed.tables, NULL);
	put_authority('s', bed.second.cert);
	put_authority('f', bed.foreign.cert);
	put_certificate('c', &bed.second, "of the service");
	put_certificate('u', &bed.second, "of the upstream");
	o.tables = bed.tables.tables;
	o.trusted_file = bed.files.ca;
	o.cert_file = bed.files.cert;
	o.key_file = bed.files.key;
	if (origin_tls_cache_create(&bed.cache, &o, &e) != 0)
		fail_msg("%s", e.message);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	origin_tls_cache_free(bed.cache);
	entity_bed_deinit(&bed.tables);
	testcert_files_deinit(&bed.files);
	testca_deinit(&bed.trusted);
	testca_deinit(&bed.second);
	testca_deinit(&bed.foreign);
	return 0;
}

/* A service in short: verify 1, 0 or -1; depth; authorities and client certificate by letter. */
static struct service service(int verify, int depth, const char *authorities,
			      const char *certificate)
{
	static unsigned char ids[8][ENTITY_ID_SIZE], certificate_id[ENTITY_ID_SIZE];
	struct service s = {.tls_verify = verify, .tls_verify_depth = depth};

	for (; authorities[s.ca_count]; s.ca_count++)
		memset(ids[s.ca_count], authorities[s.ca_count], ENTITY_ID_SIZE);
	s.ca_certificates = &ids[0][0];
	memset(certificate_id, certificate[0], ENTITY_ID_SIZE);
	s.client_certificate = certificate[0] ? certificate_id : NULL;
	return s;
}

static struct origin_tls *get(const struct service *s, const struct upstream *u, const char *host)
{
	struct origin_tls *t = NULL;
	struct err e = ERR_INIT;

	if (origin_tls_get(&t, bed.cache, tables_enter(bed.tables.tables), s, u, str_from(host),
			   false, &e) != 0)
		fail_msg("%s", e.message);
	rcu_leave();
	return t;
}

/* An upstream's context: a leaf of issuer for san that is good from and to then. */
static SSL_CTX *server(const struct testca *issuer, const char *san, long from, long to)
{
	const struct testcert_options o = {.san = san, .from_seconds = from, .to_seconds = to};
	SSL_CTX *ctx = testcert_server(issuer, san, NULL);
	X509 *leaf;
	EVP_PKEY *key;

	testcert_issue(issuer, &o, &leaf, &key);
	assert_int_equal(SSL_CTX_use_cert_and_key(ctx, leaf, key, NULL, 1), 1);
	X509_free(leaf);
	EVP_PKEY_free(key);
	return ctx;
}

#endif
