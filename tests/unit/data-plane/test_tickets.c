/* Ticket secrets (tables/tickets) and the keys that the fleet derives from them (tls/tickets). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <openssl/hmac.h>

#include "common/core/clock.h"
#include "data-plane/tls/tickets.h"

static struct tables *t;

static int setup(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	return tables_create(&t, NULL, &e);
}

static int teardown(void **state)
{
	(void)state;
	clock_fake_end();
	tables_free(t);
	return 0;
}

static int put(unsigned id, size_t len, int64_t not_before)
{
	unsigned char bytes[TICKET_ID_SIZE];
	char secret[64];
	struct err e = ERR_INIT;

	memset(bytes, (int)id, sizeof(bytes));
	memset(secret, (int)id, sizeof(secret));
	return tickets_put(&t->tickets, &t->txn, bytes, (struct str){secret, len}, not_before, &e);
}

static int commit(void)
{
	struct tables_culprit c;
	struct err e = ERR_INIT;

	return tables_commit(t, &c, &e);
}

static void test_copy(void **state)
{
	struct ticket_secret out[TICKET_SECRETS_MAX];

	(void)state;
	tables_begin(t, true);
	assert_int_equal(put(1, TICKET_SECRET_SIZE, 100), 0);
	assert_int_equal(put(2, TICKET_SECRET_SIZE, 300), 0);
	assert_int_equal(put(3, TICKET_SECRET_SIZE, 200), 0);
	assert_int_equal(commit(), 0);
	assert_int_equal(tickets_copy(&t->tickets, tables_enter(t), out), 3);
	rcu_leave();
	assert_int_equal(out[0].not_before, 300);
	assert_int_equal(out[1].not_before, 200);
	assert_int_equal(out[2].not_before, 100);
	assert_int_equal(out[0].bytes[31], 2);
}

static void test_refused(void **state)
{
	(void)state;
	tables_begin(t, true);
	assert_int_equal(put(1, 31, 0), -1);
	assert_int_equal(put(1, 33, 0), -1);
	assert_int_equal(put(1, 0, 0), -1);
	for (unsigned i = 0; i < TICKET_SECRETS_MAX; i++)
		assert_int_equal(put(i + 1, TICKET_SECRET_SIZE, i), 0);
	assert_int_equal(commit(), 0);
	tables_begin(t, false);
	assert_int_equal(put(99, TICKET_SECRET_SIZE, 7), 0);
	assert_int_equal(commit(), -1);
	tables_abort(t);
}

/* HKDF-SHA256 (RFC 5869) out of HMAC alone. */
static void hkdf(const unsigned char *secret, const char *info, unsigned char out[80])
{
	static const unsigned char salt[32];
	unsigned char prk[32], block[32] = {0}, input[32 + 64 + 1];
	size_t info_len = strlen(info), have = 0;
	unsigned n;

	HMAC(EVP_sha256(), salt, sizeof(salt), secret, 32, prk, &n);
	for (unsigned char i = 1; have < 80; i++) {
		size_t before = i == 1 ? 0 : 32;
		size_t take = 80 - have < 32 ? 80 - have : 32;

		memcpy(input, block, before);
		memcpy(input + before, info, info_len);
		input[before + info_len] = i;
		HMAC(EVP_sha256(), prk, 32, input, before + info_len + 1, block, &n);
		memcpy(out + have, block, take);
		have += take;
	}
}

static void test_derive(void **state)
{
	unsigned char secret[32], got[TICKET_KEY_SIZE], want[TICKET_KEY_SIZE];
	struct err e = ERR_INIT;

	(void)state;
	for (unsigned i = 0; i < sizeof(secret); i++)
		secret[i] = (unsigned char)i;
	assert_int_equal(ticket_key_derive(got, secret, 41000, &e), 0);
	hkdf(secret, "cardea ticket 41000", want);
	assert_memory_equal(got, want, sizeof(got));
}

static void test_secret_of(void **state)
{
	const int64_t slot = TICKET_SLOT_SECONDS;
	const struct ticket_secret s[] = {{.not_before = 5 * slot + 1}, {.not_before = 3 * slot}};
	static const struct {
		int64_t slot;
		size_t want;
	} rows[] = {{2, 1}, {3, 1}, {4, 1}, {5, 1}, {6, 0}, {7, 0}};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++)
		assert_int_equal(ticket_secret_of(s, 2, rows[i].slot), rows[i].want);
}

struct use {
	unsigned char name[TICKET_NAME_SIZE], iv[16];
	int rc;
};

static struct use use(struct ticket_keys *k, const struct use *ticket)
{
	struct use u = {.rc = 0};
	EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
	EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *mac = EVP_MAC_CTX_new(hmac);

	if (ticket)
		u = *ticket;
	u.rc = ticket_keys_use(k, u.name, u.iv, cipher, mac, ticket == NULL);
	rcu_leave();
	EVP_MAC_CTX_free(mac);
	EVP_MAC_free(hmac);
	EVP_CIPHER_CTX_free(cipher);
	return u;
}

static void test_rotation(void **state)
{
	const unsigned char fallback[32] = {1}, other[32] = {2};
	const uint64_t slot_ns = TICKET_SLOT_SECONDS * 1000000000ULL;
	struct ticket_keys *a, *b;
	struct err e = ERR_INIT;
	struct use first;

	(void)state;
	clock_fake(0, 100 * TICKET_SLOT_SECONDS * 1000LL);
	assert_int_equal(ticket_keys_create(&a, t, fallback, &e), 0);
	assert_int_equal(ticket_keys_create(&b, t, other, &e), 0);
	first = use(a, NULL);
	assert_int_equal(first.rc, 1);
	assert_int_equal(use(a, &first).rc, 1);
	assert_int_equal(use(b, &first).rc, 0); /* no secret of the fleet yet */
	tables_begin(t, false);
	assert_int_equal(put(7, TICKET_SECRET_SIZE, 0), 0);
	assert_int_equal(commit(), 0);
	assert_int_equal(use(a, &first).rc, 0);
	first = use(a, NULL);
	assert_int_equal(use(b, &first).rc, 1);
	clock_fake_advance(slot_ns);
	assert_int_equal(use(b, &first).rc, 2); /* the previous slot's */
	clock_fake_advance(slot_ns);
	assert_int_equal(use(b, &first).rc, 0);
	/* A node whose clock is a slot ahead. */
	first = use(b, NULL);
	clock_fake(0, 101 * TICKET_SLOT_SECONDS * 1000LL);
	assert_int_equal(use(a, &first).rc, 2);
	ticket_keys_free(a);
	ticket_keys_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_copy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test(test_derive),
		cmocka_unit_test(test_secret_of),
		cmocka_unit_test_setup_teardown(test_rotation, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
