/* acme hosts, acme events, acme revoke: what the engine keeps in date, and what becomes of it. */
#include <stdio.h>

#include "common/conf/value.h"
#include "common/core/clock.h"
#include "control-plane/cli/commands.h"
#include "control-plane/cli/print.h"

enum { HOSTS_PAGE = 1000 };

/* --- hosts --- */

enum { EXPIRING_MAX_DAYS = 3650 };

static int print_host(const json_t *row, void *arg, struct err *e)
{
	return print_row(arg, row, api_text(row, "host"), e);
}

static int add_before(struct cli *c, struct buf *path, struct err *e)
{
	const struct conf_key key = {
		.name = "expiring",
		.type = CONF_DURATION,
		.max = EXPIRING_MAX_DAYS * INT64_C(86400000),
	};
	uint64_t ms = 0;
	long long before;

	if (!c->option[OPTION_EXPIRING])
		return 0;
	if (conf_value_set(&key, &ms, str_from(c->option[OPTION_EXPIRING]), e) < 0)
		return err_prefix(e, "--%s", key.name);
	before = clock_wall_s();
	before += (long long)(ms / 1000);
	return buf_addf(path, e, "&expiring_before=%lld", before);
}

static int hosts_path(struct cli *c, struct buf *path, struct err *e)
{
	if (buf_addf(path, e, "/acme/hosts?size=%d", HOSTS_PAGE) < 0 ||
	    api_add_query(path, "host", c->option[OPTION_HOST], e) < 0 ||
	    api_add_query(path, "state", c->option[OPTION_STATE], e) < 0 ||
	    api_add_query(path, "issuer", c->option[OPTION_ISSUER], e) < 0 ||
	    api_add_query(path, "tag", c->option[OPTION_TAG], e) < 0)
		return -1;
	return add_before(c, path, e);
}

int command_acme_hosts(struct cli *c, int argc, char **argv, struct err *e)
{
	struct buf path = BUF_INIT;
	struct print p;
	int rc = print_begin(&p, c, "hosts", true, stdout, e);

	(void)argc;
	(void)argv;
	if (rc == 0)
		rc = hosts_path(c, &path, e);
	if (rc == 0)
		rc = cli_list(c, &path, print_host, &p, e);
	print_end(&p, rc == 0);
	buf_deinit(&path);
	return rc;
}

/* --- events --- */

static int print_event(const json_t *row, void *arg, struct err *e)
{
	return print_row(arg, row, api_text(row, "event"), e);
}

int command_acme_events(struct cli *c, int argc, char **argv, struct err *e)
{
	struct buf path = BUF_INIT;
	struct print p;
	int rc = print_begin(&p, c, "events", true, stdout, e);

	(void)argc;
	if (rc == 0)
		rc = buf_add_str(&path, STR("/acme/orders/"), e);
	if (rc == 0)
		rc = api_escape(&path, str_from(argv[1]), e);
	if (rc == 0)
		rc = buf_add_str(&path, STR("/events"), e);
	if (rc == 0)
		rc = cli_list(c, &path, print_event, &p, e);
	print_end(&p, rc == 0);
	buf_deinit(&path);
	return rc;
}

/* --- revoke --- */

static int revoke_call(struct cli *c, const char *which, struct api_answer *a, struct err *e)
{
	const char *reason = c->option[OPTION_REASON];
	json_t *body = json_pack("{s:s*}", "reason", reason);
	struct buf path = BUF_INIT;
	struct api *api;
	int rc = body ? cli_api(c, &api, e) : err_set(e, ERR_INVALID, "--reason: not UTF-8 text");

	if (rc == 0 && c->option[OPTION_NO_REPLACE])
		rc = json_object_set_new(body, "replace", json_false());
	if (rc == 0)
		rc = buf_add_str(&path, STR("/acme/certificates/"), e);
	if (rc == 0)
		rc = api_escape(&path, str_from(which), e);
	if (rc == 0)
		rc = buf_add_str(&path, STR("/revoke"), e);
	if (rc == 0)
		rc = api_call(
			api,
			&(struct api_request){.method = "POST", .path = path.data, .json = body}, a,
			e);
	json_decref(body);
	buf_deinit(&path);
	return rc;
}

static int revoke_one(struct cli *c, struct print *p, const char *which, struct err *e)
{
	struct api_answer a = API_ANSWER_INIT;
	int rc = revoke_call(c, which, &a, e);

	if (rc == 0 && !api_row(&a))
		rc = cli_refused(c, which, &a, e);
	else if (rc == 0)
		rc = print_row(p, a.body, which, e);
	api_answer_deinit(&a);
	return rc;
}

/* The first that is refused ends it: those before it are printed. */
int command_acme_revoke(struct cli *c, int argc, char **argv, struct err *e)
{
	struct print p;
	int rc = print_begin(&p, c, "revocations", true, stdout, e);

	if (rc < 0)
		return rc;
	for (int i = 1; i < argc && rc == 0; i++)
		rc = revoke_one(c, &p, argv[i], e);
	print_end(&p, true);
	return rc;
}
