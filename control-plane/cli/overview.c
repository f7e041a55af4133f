/* nodes, orders, status: what the fleet and the ACME engine do. */
#include <stdio.h>

#include "control-plane/cli/commands.h"
#include "control-plane/cli/print.h"

enum { ORDERS_PAGE = 1000 };

/* --- nodes --- */

static int print_node(const json_t *row, void *arg, struct err *e)
{
	return print_row(arg, row, api_text(row, "id"), e);
}

int command_nodes(struct cli *c, int argc, char **argv, struct err *e)
{
	struct buf path = BUF_INIT;
	struct print p;
	int rc = print_begin(&p, c, "nodes", true, stdout, e);

	(void)argc;
	(void)argv;
	if (rc == 0)
		rc = buf_add_str(&path, STR("/clustering/data-planes"), e);
	if (rc == 0)
		rc = cli_list(c, &path, print_node, &p, e);
	print_end(&p, rc == 0);
	buf_deinit(&path);
	return rc;
}

/* --- orders --- */

/* What a list of orders has printed: the next page begins after it. */
struct orders {
	struct print print;
	size_t count;
	char last[64];
};

static int print_order(const json_t *row, void *arg, struct err *e)
{
	struct orders *o = arg;

	o->count++;
	snprintf(o->last, sizeof(o->last), "%s", api_text(row, "id"));
	return print_row(&o->print, row, api_text(row, "host"), e);
}

static int print_page(struct cli *c, struct orders *o, struct err *e)
{
	struct buf path = BUF_INIT;
	int rc = buf_addf(&path, e, "/acme/orders?size=%d", ORDERS_PAGE);

	if (rc == 0)
		rc = api_add_query(&path, "host", c->option[OPTION_HOST], e);
	if (rc == 0)
		rc = api_add_query(&path, "state", c->option[OPTION_STATE], e);
	if (rc == 0)
		rc = api_add_query(&path, "after", o->last, e);
	o->count = 0;
	if (rc == 0)
		rc = cli_list(c, &path, print_order, o, e);
	buf_deinit(&path);
	return rc;
}

int command_orders(struct cli *c, int argc, char **argv, struct err *e)
{
	struct orders o = {.count = ORDERS_PAGE};
	int rc = print_begin(&o.print, c, "orders", true, stdout, e);

	(void)argc;
	(void)argv;
	while (rc == 0 && o.count >= ORDERS_PAGE)
		rc = print_page(c, &o, e);
	print_end(&o.print, rc == 0);
	return rc;
}

/* --- status --- */

static int get(struct cli *c, const char *path, struct api_answer *a, struct err *e)
{
	struct api *api;

	if (cli_api(c, &api, e) < 0)
		return -1;
	return api_call(api, &(struct api_request){.method = "GET", .path = path}, a, e);
}

/* Members of an answer, by dotted path, under new names. */
static int take(struct cli *c, json_t *out, const char *path, const char *const members[][2],
		size_t n, struct err *e)
{
	struct api_answer a = API_ANSWER_INIT;
	int rc = get(c, path, &a, e);

	if (rc == 0 && !api_row(&a))
		rc = cli_refused(c, path, &a, e);
	for (size_t i = 0; i < n && rc == 0; i++) {
		const json_t *value = columns_member(a.body, members[i][1]);

		if (value && json_object_set(out, members[i][0], (json_t *)(uintptr_t)value) < 0)
			rc = err_memory(e, "a status");
	}
	api_answer_deinit(&a);
	return rc;
}

/* Ready, or why not. */
static int take_ready(struct cli *c, json_t *out, bool *ready, struct err *e)
{
	struct api_answer a = API_ANSWER_INIT;
	int rc = get(c, "/status/ready", &a, e);

	if (rc == 0 && !json_is_object(a.body))
		rc = cli_refused(c, "/status/ready", &a, e);
	*ready = rc == 0 && api_ok(&a);
	if (rc == 0 && json_object_set(out, "state", json_object_get(a.body, "message")) < 0)
		rc = err_memory(e, "a status");
	api_answer_deinit(&a);
	return rc;
}

/* How many data planes there are, and how many hold the newest revision. */
struct nodes_count {
	json_int_t revision;
	json_int_t known, connected, current;
};

static int count_node(const json_t *row, void *arg, struct err *e)
{
	struct nodes_count *n = arg;
	bool connected = json_is_true(json_object_get(row, "connected"));

	(void)e;
	n->known++;
	n->connected += connected;
	n->current +=
		connected && json_integer_value(json_object_get(row, "revision")) >= n->revision;
	return 0;
}

static int take_nodes(struct cli *c, json_t *out, struct err *e)
{
	struct nodes_count n = {.revision = json_integer_value(json_object_get(out, "revision"))};
	struct buf path = BUF_INIT;
	int rc = buf_add_str(&path, STR("/clustering/data-planes"), e);

	if (rc == 0)
		rc = cli_list(c, &path, count_node, &n, e);
	buf_deinit(&path);
	if (rc < 0)
		return rc;
	rc |= json_object_set_new(out, "data_planes", json_integer(n.known));
	rc |= json_object_set_new(out, "data_planes_connected", json_integer(n.connected));
	rc |= json_object_set_new(out, "data_planes_current", json_integer(n.current));
	return rc ? err_memory(e, "a status") : 0;
}

static int print_facts(struct print *p, json_t *facts, struct err *e)
{
	const char *name;
	json_t *value;
	int rc = 0;

	if (p->form == PRINT_JSON)
		return print_row(p, facts, "", e);
	if (p->form == PRINT_NAME)
		return print_row(p, facts, api_text(facts, "state"), e);
	json_object_foreach(facts, name, value)
	{
		json_t *row = json_pack("{s:s, s:O}", "what", name, "value", value);

		rc = row ? print_row(p, row, "", e) : err_memory(e, "a status");
		json_decref(row);
		if (rc < 0)
			break;
	}
	return rc;
}

int command_status(struct cli *c, int argc, char **argv, struct err *e)
{
	static const char *const of_root[][2] = {
		{"hostname", "hostname"},
		{"node_id", "node_id"},
		{"version", "cardea_version"},
		{"database", "configuration.database"},
	};
	static const char *const of_status[][2] = {
		{"database_reachable", "database.reachable"},
		{"configuration_hash", "configuration_hash"},
		{"revision", "fleet.revision"},
	};
	json_t *facts = json_object();
	bool ready = false;
	struct print p;
	int rc = print_begin(&p, c, "facts", false, stdout, e);

	(void)argc;
	(void)argv;
	if (rc == 0)
		rc = take_ready(c, facts, &ready, e);
	if (rc == 0)
		rc = take(c, facts, "/", of_root, array_len(of_root), e);
	if (rc == 0)
		rc = take(c, facts, "/status", of_status, array_len(of_status), e);
	/* Without its database a control plane cannot tell its data planes. */
	if (rc == 0 && ready)
		rc = take_nodes(c, facts, e);
	if (rc == 0)
		rc = print_facts(&p, facts, e);
	print_end(&p, rc == 0);
	json_decref(facts);
	if (rc == 0 && !ready)
		rc = err_set(e, ERR_DENIED, "not ready");
	return rc;
}
