#include "control-plane/acme/authority.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>

#include "common/core/clock.h"
#include "common/core/log.h"
#include "control-plane/acme/engine.h"
#include "control-plane/acme/jwk.h"
#include "control-plane/acme/url.h"

enum { CONNECT_TIMEOUT_MS = 10000, EXCHANGE_TIMEOUT_MS = 30000 };
enum { KEY_FILE_MAX = 16384 };
enum { PARTS = 3 }; /* the account, the client, the fetcher */

/* Texts of the configuration; one that is empty counts as NULL, but for the e-mail address. */
static const size_t texts[] = {
	offsetof(struct authority_conf, name),
	offsetof(struct authority_conf, directory),
	offsetof(struct authority_conf, ca_file),
	offsetof(struct authority_conf, email),
	offsetof(struct authority_conf, limits),
	offsetof(struct authority_conf, eab_kid),
	offsetof(struct authority_conf, eab_hmac),
	offsetof(struct authority_conf, eab_url),
	offsetof(struct authority_conf, account_key),
	offsetof(struct authority_conf, account_key_file),
	offsetof(struct authority_conf, ca_pem),
	offsetof(struct authority_conf, profile),
};

static const char **text_at(struct authority_conf *c, size_t i)
{
	return (const char **)(void *)((char *)c + texts[i]);
}

static void free_text(const char *text)
{
	if (text)
		OPENSSL_cleanse((void *)(uintptr_t)text, strlen(text)); /* some are secret */
	free((void *)(uintptr_t)text);
}

static void free_authority(struct authority *au)
{
	for (size_t i = 0; i < array_len(texts); i++)
		free_text(*text_at(&au->conf, i));
	free(au);
}

/* ZeroSSL gives an external account binding to whoever has an e-mail address. */
static const char *known_eab_url(const char *directory)
{
	return str_starts(str_from(directory), STR("https://acme.zerossl.com/"))
		       ? "https://api.zerossl.com/acme/eab-credentials-email"
		       : NULL;
}

static int copy_conf(struct authority *au, const struct authority_conf *c, struct err *e)
{
	struct authority_conf from = *c;

	au->conf = from;
	if (!from.email)
		from.email = "";
	if (!from.eab_url || !from.eab_url[0])
		from.eab_url = known_eab_url(c->directory);
	for (size_t i = 0; i < array_len(texts); i++)
		*text_at(&au->conf, i) = NULL;
	for (size_t i = 0; i < array_len(texts); i++) {
		const char *text = *text_at(&from, i);

		if (!text || (!text[0] && text != from.email))
			continue;
		*text_at(&au->conf, i) = str_dup(str_from(text));
		if (!*text_at(&au->conf, i))
			return err_memory(e, "ACME authority");
	}
	return limits_parse(&au->limits, str_from(au->conf.limits), au->conf.directory, e);
}

/* At the start, when blocking does no harm. */
static int read_account_key(struct authority *au, struct err *e)
{
	const char *path = au->conf.account_key_file;
	char text[KEY_FILE_MAX];
	FILE *f = path ? fopen(path, "re") : NULL;
	size_t n;
	int rc = 0;

	if (!path)
		return 0;
	if (!f)
		return err_errno(e, ERR_INVALID, errno, "cannot read %s", path);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	if (ferror(f) || n == sizeof(text) - 1)
		rc = err_set(e, ERR_INVALID, "cannot read %s, or it is no key", path);
	fclose(f);
	au->conf.account_key = rc == 0 ? str_dup((struct str){text, n}) : NULL;
	OPENSSL_cleanse(text, sizeof(text));
	return rc == 0 && !au->conf.account_key ? err_memory(e, "account key") : rc;
}

/* A key that cannot be read is told now, not with the first order. */
static int check_account_key(struct authority *au, struct err *e)
{
	EVP_PKEY *key = NULL;

	if (read_account_key(au, e) != 0)
		return -1;
	if (!au->conf.account_key)
		return 0;
	if (jwk_or_pem_key(&key, str_from(au->conf.account_key), e) != 0)
		return err_prefix(e, "account key");
	EVP_PKEY_free(key);
	return 0;
}

static int start_parts(struct authority *au, struct err *e)
{
	struct acme *a = au->acme;
	const struct fetcher_conf f = {
		.ca_file = au->conf.ca_file,
		.ca_pem = au->conf.ca_pem,
		.from = a->conf.egress,
		.allow_private = a->conf.allow_private,
		.connect_timeout_ms = CONNECT_TIMEOUT_MS,
		.timeout_ms = EXCHANGE_TIMEOUT_MS,
		.body_max = ACME_DOCUMENT_MAX,
	};
	struct account_conf account = {
		.loop = a->loop,
		.store = a->store,
		.control_plane_id = a->conf.control_plane_id,
		.directory = au->conf.directory,
		.email = au->conf.email,
		.eab_kid = au->conf.eab_kid,
		.eab_hmac = au->conf.eab_hmac,
		.eab_url = au->conf.eab_url,
		.key = au->conf.account_key,
		.agree = au->conf.agree,
		.lease_ms = a->conf.lease_ms,
	};

	struct client_conf client = {
		.loop = a->loop,
		.store = a->store,
		.breaker = &au->breaker,
		.metrics = a->conf.metrics,
		.directory = au->conf.directory,
		.egress = a->conf.egress,
		.limits = &au->limits,
		.requests_max =
			au->conf.requests_max ? au->conf.requests_max : AUTHORITY_REQUESTS_MAX,
	};

	if (fetcher_create(&au->fetcher, a->loop, &f, e) != 0)
		return -1;
	client.fetcher = au->fetcher;
	account.fetcher = au->fetcher;
	if (client_create(&au->client, &client, e) != 0)
		goto fail;
	account.client = au->client;
	return account_create(&au->account, &account, e);
fail:
	fetcher_close(au->fetcher, NULL, NULL);
	return -1;
}

int authority_create(struct authority **out, struct acme *a, const struct authority_conf *c,
		     struct err *e)
{
	struct authority *au = calloc(1, sizeof(*au));

	if (!au)
		return err_memory(e, "ACME authority");
	au->acme = a;
	list_init(&au->link);
	if (url_gate(str_from(c->directory), a->conf.allow_private, e) != 0 ||
	    copy_conf(au, c, e) != 0 || check_account_key(au, e) != 0 || start_parts(au, e) != 0) {
		err_prefix(e, "authority %s", c->name);
		free_authority(au);
		return -1;
	}
	*out = au;
	return 0;
}

static void part_closed(void *arg)
{
	struct authority *au = arg;
	struct acme *a = au->acme;

	if (--au->parts_open > 0)
		return;
	list_remove(&au->link);
	free_authority(au);
	acme_part_closed(a);
}

static void close_parts(struct authority *au)
{
	au->closing = true;
	au->parts_open = PARTS;
	account_close(au->account, part_closed, au);
	/* Nobody calls it any more; its own fetch of the directory has to go before the fetcher. */
	client_close(au->client, part_closed, au);
	fetcher_close(au->fetcher, part_closed, au);
}

void authority_leave(struct authority *au)
{
	au->leaving = true;
	if (au->users == 0 && !au->closing)
		close_parts(au);
}

void authority_use(struct authority *au)
{
	au->users++;
}

void authority_release(struct authority *au)
{
	au->users--;
	if (au->leaving)
		authority_leave(au);
}

unsigned authority_room(struct authority *au)
{
	if (account_blocked(au->account))
		return 0;
	switch (breaker_state(&au->breaker, clock_mono_ns())) {
	case BREAKER_CLOSED:
		return UINT32_MAX;
	case BREAKER_HALF_OPEN:
		return au->users == 0 ? 1 : 0; /* one finds out for all */
	default:
		return 0;
	}
}

bool authority_has_budget(const struct authority *au)
{
	return clock_mono_ns() >= au->budget_ns;
}

bool authority_away(struct authority *au)
{
	return breaker_state(&au->breaker, clock_mono_ns()) != BREAKER_CLOSED;
}

bool authority_lost(struct authority *au)
{
	return authority_away(au) &&
	       clock_mono_ns() - au->breaker.since_ns > AUTHORITY_LOST_S * UINT64_C(1000000000);
}

bool authority_is(const struct authority *au, const struct authority_conf *c)
{
	struct authority_conf other = *c;

	if (!other.email)
		other.email = "";
	if (!other.eab_url || !other.eab_url[0])
		other.eab_url = known_eab_url(c->directory);
	for (size_t i = 0; i < array_len(texts); i++) {
		const char *text = *text_at(&other, i);
		const char *ours = *text_at((struct authority_conf *)(uintptr_t)&au->conf, i);

		if (!str_eq(str_from(text ? text : ""), str_from(ours ? ours : "")))
			return false;
	}
	return other.requests_max == au->conf.requests_max && other.agree == au->conf.agree;
}

struct authority *authority_find(struct acme *a, const char *directory)
{
	list_for_each(it, &a->authorities)
	{
		struct authority *au = container_of(it, struct authority, link);

		if (str_eq(str_from(au->conf.directory), str_from(directory)))
			return au;
	}
	return NULL;
}
