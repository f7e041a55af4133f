#include <errno.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/core/clock.h"
#include "common/pki/cert.h"
#include "common/pki/key.h"
#include "control-plane/cli/commands.h"
#include "control-plane/cli/files.h"

enum { DAYS_DEFAULT = 3650, DAYS_MAX = 36500, DAY_S = 86400, PATH_SIZE = 4096, SKEW_S = 3600 };

struct pair {
	EVP_PKEY *key;
	X509 *cert;
};

static void pair_free(struct pair *p)
{
	EVP_PKEY_free(p->key);
	X509_free(p->cert);
}

static int path_of(char out[PATH_SIZE], const char *dir, const char *name, const char *suffix,
		   struct err *e)
{
	if (snprintf(out, PATH_SIZE, "%s/%s.%s", dir, name, suffix) >= PATH_SIZE)
		return err_set(e, ERR_INVALID, "%s: path is too long", dir);
	return 0;
}

static int write_pair(const char *dir, const char *name, const struct pair *p, struct err *e)
{
	char path[PATH_SIZE];
	struct buf text = {.secret = true};
	int rc = key_to_pem(&text, p->key, e);

	if (rc == 0)
		rc = path_of(path, dir, name, "key", e);
	if (rc == 0)
		rc = file_write(path, buf_str(&text), 0600, e);
	buf_clear(&text);
	if (rc == 0)
		rc = cert_to_pem(&text, p->cert, e);
	if (rc == 0)
		rc = path_of(path, dir, name, "crt", e);
	if (rc == 0)
		rc = file_write(path, buf_str(&text), 0644, e);
	buf_deinit(&text);
	return rc;
}

static int read_pair(const char *dir, const char *name, struct pair *p, struct err *e)
{
	char path[PATH_SIZE];
	struct buf text = {.secret = true};
	int rc = path_of(path, dir, name, "key", e);

	if (rc == 0)
		rc = file_read(path, &text, e);
	if (rc == 0)
		rc = key_from_pem(&p->key, buf_str(&text), e);
	buf_clear(&text);
	if (rc == 0)
		rc = path_of(path, dir, name, "crt", e);
	if (rc == 0)
		rc = file_read(path, &text, e);
	if (rc == 0)
		rc = cert_leaf_from_pem(&p->cert, buf_str(&text), e);
	if (rc == 0 && !cert_matches_key(p->cert, p->key))
		rc = err_set(e, ERR_INVALID, "%s/%s.crt and .key do not belong together", dir,
			     name);
	buf_deinit(&text);
	return rc;
}

static int make_pair(struct pair *p, struct cert_make *m, int64_t days, const struct pair *issuer,
		     struct err *e)
{
	m->not_before = clock_wall_s() - SKEW_S;
	m->not_after = m->not_before + days * DAY_S;
	if (key_generate(&p->key, KEY_EC_P256, e) < 0)
		return -1;
	return cert_make(&p->cert, m, p->key, issuer ? issuer->cert : NULL,
			 issuer ? issuer->key : NULL, e);
}

static int get_ca(const char *dir, int64_t days, struct pair *ca, struct err *e)
{
	struct cert_make m = {.common_name = "Cardea cluster CA", .ca = true};
	char path[PATH_SIZE];

	if (path_of(path, dir, "ca", "key", e) < 0)
		return -1;
	if (file_exists(path))
		return read_pair(dir, "ca", ca, e);
	if (make_pair(ca, &m, days, NULL, e) < 0)
		return -1;
	return write_pair(dir, "ca", ca, e);
}

static int make_role(const char *dir, const char *file, const char *role, bool server, int64_t days,
		     const struct pair *ca, struct err *e)
{
	const char *names[] = {role, NULL};
	struct cert_make m = {
		.common_name = role, .names = names, .client = true, .server = server};
	struct pair p = {NULL, NULL};
	int rc = make_pair(&p, &m, days, ca, e);

	if (rc == 0)
		rc = write_pair(dir, file, &p, e);
	pair_free(&p);
	return rc;
}

int command_cluster_cert(struct cli *c, int argc, char **argv, struct err *e)
{
	struct pair ca = {NULL, NULL};
	uint64_t days = DAYS_DEFAULT;
	int rc;

	(void)c;
	if (argc == 3 && (str_u64(str_from(argv[2]), &days) < 0 || days < 1 || days > DAYS_MAX))
		return err_set(e, ERR_INVALID, "DAYS: %s is not a number from 1 to %d", argv[2],
			       DAYS_MAX);
	if (mkdir(argv[1], 0755) < 0 && errno != EEXIST)
		return err_errno(e, ERR_INVALID, errno, "%s", argv[1]);
	rc = get_ca(argv[1], (int64_t)days, &ca, e);
	if (rc == 0)
		rc = make_role(argv[1], "cp", "cardea-control-plane", true, (int64_t)days, &ca, e);
	if (rc == 0)
		rc = make_role(argv[1], "node", "cardea-data-plane", false, (int64_t)days, &ca, e);
	pair_free(&ca);
	if (rc == 0)
		printf("made %s/{ca,cp,node}.{crt,key}\n", argv[1]);
	return rc;
}
