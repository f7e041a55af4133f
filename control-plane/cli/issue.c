/* issue: asks for a certificate for each host, or for one for all of them, and waits until it is
 * live on every data plane.
 *
 *   ask (POST /acme, respond-async) ─▶ look (GET /acme/orders/ID) ... valid ─▶ confirm (GET
 *   /clustering/data-planes) ... all hold its revision ─▶ live
 * Failure paths: refused at once (no name that can have one) · the attempt failed · the time is
 * over · data planes that did not confirm. Each is a row of the result, and exit code 1.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "common/core/clock.h"
#include "control-plane/cli/commands.h"
#include "control-plane/cli/print.h"

enum { WAIT_MS = 300000, LOOK_MS = 200, HOSTS_SHOWN = 3 };

struct wish {
	const char *host; /* the first of: */
	char *const *hosts;
	size_t host_count;
	const char *result;  /* NULL: not over yet */
	json_t *order;	     /* as last seen; NULL: none */
	char message[256];   /* of what went wrong */
	json_int_t attempts; /* when it began */
	bool asked;	     /* attempts is known */
	bool valid;	     /* waits for data planes, which are in message */
};

struct issue {
	struct cli *cli;
	struct api *api;
	struct wish *wishes;
	size_t count, over, good;
	uint64_t deadline_ns;
	bool progress; /* stderr is a terminal */
};

static void end_wish(struct issue *s, struct wish *w, const char *result, bool good,
		     const char *message)
{
	w->result = result;
	snprintf(w->message, sizeof(w->message), "%s", message);
	s->over++;
	s->good += good;
}

/* --- steps --- */

static json_t *wish_body(const struct issue *s, const struct wish *w)
{
	const char *const *option = s->cli->option;
	json_t *body = json_pack("{s:s*, s:s*, s:s*, s:s*}", "key_type", option[OPTION_KEY_TYPE],
				 "key_type_alt", option[OPTION_KEY_TYPE_ALT], "profile",
				 option[OPTION_PROFILE], "preferred_chain", option[OPTION_CHAIN]);
	json_t *hosts = json_array();
	int rc = body && hosts ? 0 : -1;

	for (size_t i = 0; rc == 0 && i < w->host_count; i++)
		rc = json_array_append_new(hosts, json_string(w->hosts[i]));
	if (rc == 0)
		rc = w->host_count == 1 ? json_object_set(body, "host", json_array_get(hosts, 0))
					: json_object_set(body, "hosts", hosts);
	json_decref(hosts);
	if (rc == 0)
		return body;
	json_decref(body);
	return NULL;
}

static int ask(struct issue *s, const struct wish *w, struct api_answer *a, struct err *e)
{
	json_t *body = wish_body(s, w);
	int rc;

	if (!body)
		return err_set(e, ERR_INVALID, "%s: not UTF-8 text", w->host);
	rc = api_call(s->api,
		      &(struct api_request){
			      .method = "POST",
			      .path = "/acme",
			      .json = body,
			      .async = true,
		      },
		      a, e);
	json_decref(body);
	return rc;
}

/* Data planes that are connected and do not hold the revision: "a, b"; "": none. */
static void late_nodes(const json_t *nodes, json_int_t revision, char *out, size_t size)
{
	size_t used = 0, i;
	const json_t *node;

	out[0] = '\0';
	json_array_foreach(nodes, i, node)
	{
		int n;

		if (!json_is_true(json_object_get(node, "connected")) ||
		    json_integer_value(json_object_get(node, "revision")) >= revision)
			continue;
		n = snprintf(out + used, size - used, "%s%s", used ? ", " : "",
			     api_text(node, "hostname"));
		if (n < 0 || (size_t)n >= size - used)
			return;
		used += (size_t)n;
	}
}

/* The certificate is there: do all data planes have it? */
static int confirm(struct issue *s, struct wish *w, struct err *e)
{
	json_int_t revision = json_integer_value(json_object_get(w->order, "revision"));
	struct api_answer a = API_ANSWER_INIT;
	int rc = api_call(s->api,
			  &(struct api_request){.method = "GET", .path = "/clustering/data-planes"},
			  &a, e);

	w->valid = true;
	if (rc == 0 && api_ok(&a)) {
		late_nodes(json_object_get(a.body, "data"), revision, w->message,
			   sizeof(w->message));
		if (!w->message[0])
			end_wish(s, w, "live", true, "");
	}
	api_answer_deinit(&a);
	return rc;
}

/* The second of a pair; the same text as of an order: NULL when there is none. */
static const char *second_state(const struct wish *w)
{
	return json_string_value(
		json_object_get(json_object_get(w->order, "alternative"), "state"));
}

/* The first certificate is there; a second one that was asked for as well is not waited for when it
 * failed. */
static int judge_valid(struct issue *s, struct wish *w, struct err *e)
{
	const json_t *second = json_object_get(w->order, "alternative");
	const char *state = second_state(w);

	if (!state || str_eq(str_from(state), STR("valid")))
		return confirm(s, w, e);
	if (json_is_object(json_object_get(second, "last_problem"))) {
		const char *why = api_text(json_object_get(second, "last_problem"), "detail");

		end_wish(s, w, "failed", false, why[0] ? why : "no reason was given");
	}
	return 0;
}

/* attempts counts failures: one since we asked ends the wait, as POST /acme does. */
static int judge(struct issue *s, struct wish *w, struct err *e)
{
	const char *state = api_text(w->order, "state");
	json_int_t attempts = json_integer_value(json_object_get(w->order, "attempts"));

	if (!w->asked) {
		w->asked = true;
		w->attempts = attempts;
	}
	if (str_eq(str_from(state), STR("valid")))
		return judge_valid(s, w, e);
	if (str_eq(str_from(state), STR("failed")) || attempts > w->attempts) {
		const char *why = api_text(json_object_get(w->order, "last_problem"), "detail");

		end_wish(s, w, "failed", false, why[0] ? why : "no reason was given");
	}
	return 0;
}

static void take_order(struct wish *w, json_t *order)
{
	json_decref(w->order);
	w->order = json_incref(order);
}

static void refuse(struct issue *s, struct wish *w, const struct api_answer *a)
{
	struct buf text = BUF_INIT;

	if (api_message(a, &text, NULL) < 0)
		end_wish(s, w, "refused", false, "");
	else
		end_wish(s, w, "refused", false, text.data);
	buf_deinit(&text);
}

static int begin(struct issue *s, struct wish *w, struct err *e)
{
	struct api_answer a = API_ANSWER_INIT;
	json_t *order;
	int rc = ask(s, w, &a, e);

	order = json_object_get(a.body, "order");
	if (rc == 0 && (!api_ok(&a) || !json_is_object(order))) {
		refuse(s, w, &a);
	} else if (rc == 0) {
		take_order(w, order);
		rc = judge(s, w, e);
	}
	api_answer_deinit(&a);
	return rc;
}

static int look(struct issue *s, struct wish *w, struct err *e)
{
	struct api_answer a = API_ANSWER_INIT;
	struct buf path = BUF_INIT;
	int rc = buf_add_str(&path, STR("/acme/orders/"), e);

	if (rc == 0)
		rc = api_escape(&path, str_from(api_text(w->order, "id")), e);
	if (rc == 0)
		rc = api_call(s->api, &(struct api_request){.method = "GET", .path = path.data}, &a,
			      e);
	buf_deinit(&path);
	/* A database that is away for a while does not end the wait. */
	if (rc == 0 && a.status != 503 && !api_row(&a)) {
		refuse(s, w, &a);
	} else if (rc == 0 && api_row(&a)) {
		take_order(w, a.body);
		rc = judge(s, w, e);
	}
	api_answer_deinit(&a);
	return rc;
}

/* --- all of them --- */

static void tell(const struct issue *s, bool last)
{
	size_t shown = 0;

	if (!s->progress)
		return;
	fprintf(stderr, "\r\033[K");
	if (last)
		return;
	fprintf(stderr, "%zu of %zu done, %zu failed", s->over, s->count, s->over - s->good);
	for (size_t i = 0; i < s->count && shown < HOSTS_SHOWN; i++) {
		const struct wish *w = &s->wishes[i];

		if (w->result || !w->order)
			continue;
		fprintf(stderr, "%s%.60s (%.20s)", shown++ ? ", " : "; ", w->host,
			api_text(w->order, "state"));
	}
	fflush(stderr);
}

static int look_at_all(struct issue *s, struct err *e)
{
	for (size_t i = 0; i < s->count; i++)
		if (!s->wishes[i].result && look(s, &s->wishes[i], e) < 0)
			return -1;
	return 0;
}

static void end_late(struct issue *s, struct wish *w)
{
	char text[sizeof(w->message)];

	snprintf(text, sizeof(text), "not confirmed in time by data planes %.200s", w->message);
	if (w->valid)
		end_wish(s, w, "issued", false, text);
	else
		end_wish(s, w, "waiting", false, api_text(w->order, "state"));
}

static int run(struct issue *s, struct err *e)
{
	const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};

	for (size_t i = 0; i < s->count; i++) {
		if (begin(s, &s->wishes[i], e) < 0)
			return -1;
		tell(s, false);
	}
	while (s->over < s->count && clock_mono_ns() < s->deadline_ns) {
		nanosleep(&pause, NULL);
		if (look_at_all(s, e) < 0)
			return -1;
		tell(s, false);
	}
	for (size_t i = 0; i < s->count; i++)
		if (!s->wishes[i].result)
			end_late(s, &s->wishes[i]);
	return 0;
}

static int print_results(const struct issue *s, struct print *p, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; i < s->count && rc == 0; i++) {
		const struct wish *w = &s->wishes[i];
		json_t *row =
			json_pack("{s:s, s:s?, s:s?, s:O?}", "host", w->host, "result", w->result,
				  "message", w->message[0] ? w->message : NULL, "order", w->order);

		rc = row ? print_row(p, row, w->host, e) : err_memory(e, "the results");
		json_decref(row);
	}
	return rc;
}

static int issue_all(struct issue *s, struct err *e)
{
	struct print p;
	uint64_t wait_ms;
	int rc = print_begin(&p, s->cli, "results", true, stdout, e);

	if (rc == 0)
		rc = cli_duration(s->cli, OPTION_WAIT, WAIT_MS, &wait_ms, e);
	if (rc == 0)
		rc = cli_api(s->cli, &s->api, e);
	if (rc == 0) {
		s->deadline_ns = clock_mono_ns() + wait_ms * 1000000;
		rc = run(s, e);
	}
	tell(s, true);
	if (rc == 0)
		rc = print_results(s, &p, e);
	print_end(&p, rc == 0);
	if (rc == 0 && s->good < s->count)
		rc = err_set(e, ERR_DENIED, "%zu of %zu are not live", s->count - s->good,
			     s->count);
	return rc;
}

int command_issue(struct cli *c, int argc, char **argv, struct err *e)
{
	size_t hosts = (size_t)argc - 1;
	bool together = c->option[OPTION_TOGETHER] != NULL;
	struct issue s = {
		.cli = c,
		.count = together ? 1 : hosts,
		.progress = isatty(STDERR_FILENO) == 1,
	};
	int rc;

	s.wishes = calloc(s.count, sizeof(*s.wishes));
	if (!s.wishes)
		return err_memory(e, "the hosts");
	for (size_t i = 0; i < s.count; i++) {
		s.wishes[i].host = argv[i + 1];
		s.wishes[i].hosts = argv + i + 1;
		s.wishes[i].host_count = together ? hosts : 1;
	}
	rc = issue_all(&s, e);
	for (size_t i = 0; i < s.count; i++)
		json_decref(s.wishes[i].order);
	free(s.wishes);
	return rc;
}
