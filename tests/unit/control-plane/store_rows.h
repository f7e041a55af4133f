/* Rows that the store's tests write. */
#ifndef CARDEA_TESTS_STORE_ROWS_H
#define CARDEA_TESTS_STORE_ROWS_H

#include "tests/unit/control-plane/store_fixture.h"

#define CERT_1 "00000000-0000-4000-8000-000000000001"
#define CERT_2 "00000000-0000-4000-8000-000000000002"
#define SNI_1 "10000000-0000-4000-8000-000000000001"
#define SNI_2 "10000000-0000-4000-8000-000000000002"
#define NOBODY "ffffffff-ffff-4fff-8fff-ffffffffffff"

static inline json_t *rows_certificate(const char *id)
{
	return json_pack("{s:s, s:i, s:i, s:[s,s], s:s, s:s, s:n, s:n, s:n, s:n}", "id", id,
			 "created_at", 1700000000, "updated_at", 1700000001, "tags",
			 "a \"quoted\" tag", "b", "cert", "CERT", "key",
			 "-----BEGIN PRIVATE KEY----- very secret", "cert_alt", "key_alt",
			 "ocsp_response", "ocsp_response_alt");
}

static inline json_t *rows_sni(const char *id, const char *name, const char *certificate_id)
{
	return json_pack("{s:s, s:i, s:i, s:n, s:s, s:{s:s}}", "id", id, "created_at", 1700000000,
			 "updated_at", 1700000000, "tags", "name", name, "certificate", "id",
			 certificate_id);
}

/* These take row. */
static inline void rows_insert(struct txn *t, const struct entity *e, json_t *row)
{
	txn_insert(t, e, row);
	json_decref(row);
}

static inline void rows_update(struct txn *t, const struct entity *e, json_t *row, int64_t version)
{
	txn_update(t, e, row, version);
	json_decref(row);
}

static inline void rows_upsert(struct txn *t, const struct entity *e, json_t *row)
{
	txn_upsert(t, e, row);
	json_decref(row);
}

/* A store with one certificate and two names, at revision 1. */
static inline struct store_fixture *rows_open(const char *conninfo)
{
	struct store_fixture *f = store_fixture_open(conninfo);
	struct txn *t = txn_create(f->store, NULL);

	rows_insert(t, &entity_certificates, rows_certificate(CERT_1));
	rows_insert(t, &entity_snis, rows_sni(SNI_1, "b.example", CERT_1));
	rows_insert(t, &entity_snis, rows_sni(SNI_2, "A.example", CERT_1));
	store_fixture_commit(f, t);
	if (f->fault != STORE_OK)
		fail_msg("%s", f->err.message);
	assert_int_equal(f->revision, 1);
	return f;
}

#endif
