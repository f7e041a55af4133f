/* Where to connect next. */
#include "control-plane/store/pg_target.h"

#include <libpq-fe.h>
#include <openssl/crypto.h>

#include "common/core/str.h"

enum { AT_HOST, AT_HOSTADDR, AT_PORT, AT_OTHERS };

/* What a connection string that says nothing about it gets. */
static const char *const defaults[][2] = {
	{"target_session_attrs", "read-write"},
	{"keepalives", "1"},
	{"keepalives_idle", "5"},
	{"keepalives_interval", "2"},
	{"keepalives_count", "3"},
	{"tcp_user_timeout", "3000"},
	{"application_name", "cardea-cp"},
	{"client_encoding", "UTF8"},
	/* A Kerberos library may block on its own files and servers. */
	{"gssencmode", "disable"},
};

static bool has(const struct pg_target *t, const char *keyword)
{
	for (size_t i = 0; i < t->param_count; i++)
		if (strcmp(t->keywords[i], keyword) == 0) /* not secret */
			return true;
	return false;
}

static int add(struct pg_target *t, const char *keyword, const char *value, struct err *e)
{
	if (t->param_count + 1 >= PG_PARAMS_MAX)
		return err_set(e, ERR_LIMIT, "too many parameters in the connection string");
	t->keywords[t->param_count] = keyword;
	t->values[t->param_count] = strdup(value);
	if (!t->values[t->param_count])
		return err_memory(e, "connection string");
	t->param_count++;
	return 0;
}

/* The i-th piece of a comma-separated list; a list of one piece counts for every i. NULL: empty. */
static int piece(char **out, const char *list, size_t i, struct err *e)
{
	struct str rest = str_from(list);
	struct str item = STR_NONE;
	bool single = str_find(rest, ',', 0) == rest.len;

	*out = NULL;
	for (size_t k = 0; str_split(&rest, ',', &item) && k < i && !single; k++)
		item = STR_NONE;
	if (!item.len)
		return 0;
	*out = str_dup(item);
	return *out ? 0 : err_memory(e, "connection string");
}

static size_t pieces(const char *list)
{
	struct str rest = str_from(list);
	struct str item;
	size_t n = 0;

	while (str_split(&rest, ',', &item))
		n++;
	return n;
}

/* As libpq: one for all, or one for each. */
static int check_count(const char *keyword, const char *list, size_t hosts, bool one_for_all,
		       struct err *e)
{
	size_t n = pieces(list);

	if (n == 0 || n == hosts || (n == 1 && one_for_all))
		return 0;
	return err_set(e, ERR_INVALID, "connection string: %zu hosts, but %zu in %s", hosts, n,
		       keyword);
}

static int split_hosts(struct pg_target *t, const char *host, const char *hostaddr,
		       const char *port, struct err *e)
{
	size_t n = pieces(hostaddr ? hostaddr : host);

	if (n == 0)
		n = 1;
	if (n > PG_HOSTS_MAX)
		return err_set(e, ERR_LIMIT, "more than %d hosts in the connection string",
			       PG_HOSTS_MAX);
	if (check_count("host", host, n, false, e) < 0 || check_count("port", port, n, true, e) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		struct pg_host *h = &t->hosts[t->host_count++];

		if (piece(&h->host, host, i, e) < 0 || piece(&h->hostaddr, hostaddr, i, e) < 0 ||
		    piece(&h->port, port, i, e) < 0)
			return -1;
	}
	return 0;
}

/* What every session is set to: limits, and the text forms that results are read in. */
static int add_options(struct pg_target *t, const char *given, const struct pg_limits *l,
		       struct err *e)
{
	struct buf b = BUF_INIT;
	int rc = buf_addf(&b, e,
			  "%s -c statement_timeout=%u -c lock_timeout=%u "
			  "-c idle_in_transaction_session_timeout=%u -c timezone=UTC "
			  "-c datestyle=ISO -c bytea_output=hex -c standard_conforming_strings=on "
			  "-c default_transaction_isolation=read\\ committed",
			  given ? given : "", l->statement_ms, l->lock_ms,
			  l->idle_in_transaction_ms);

	if (rc == 0)
		rc = add(t, "options", b.data, e);
	buf_deinit(&b);
	return rc;
}

static const char *value_of(const PQconninfoOption *all, const char *keyword)
{
	for (const PQconninfoOption *o = all; o->keyword; o++)
		if (strcmp(o->keyword, keyword) == 0) /* not secret */
			return o->val;
	return NULL;
}

/* Keywords live as long as the process: they are libpq's own, copied by the table below. */
static int add_given(struct pg_target *t, const PQconninfoOption *all, struct err *e)
{
	static const char *const kept[] = {
		"dbname",
		"user",
		"password",
		"passfile",
		"service",
		"sslmode",
		"sslcert",
		"sslkey",
		"sslpassword",
		"sslrootcert",
		"sslcrl",
		"sslcrldir",
		"sslsni",
		"sslcompression",
		"requirepeer",
		"channel_binding",
		"krbsrvname",
		"gsslib",
		"application_name",
		"fallback_application_name",
		"client_encoding",
		"keepalives",
		"keepalives_idle",
		"keepalives_interval",
		"keepalives_count",
		"tcp_user_timeout",
		"gssencmode",
		"target_session_attrs",
		"ssl_min_protocol_version",
		"ssl_max_protocol_version",
	};

	for (size_t i = 0; i < array_len(kept); i++) {
		const char *value = value_of(all, kept[i]);

		if (value && add(t, kept[i], value, e) < 0)
			return -1;
	}
	return 0;
}

static int fill(struct pg_target *t, const PQconninfoOption *all, const struct pg_limits *limits,
		struct err *e)
{
	if (split_hosts(t, value_of(all, "host"), value_of(all, "hostaddr"), value_of(all, "port"),
			e) < 0 ||
	    add_given(t, all, e) < 0)
		return -1;
	for (size_t i = 0; i < array_len(defaults); i++)
		if (!has(t, defaults[i][0]) && add(t, defaults[i][0], defaults[i][1], e) < 0)
			return -1;
	return add_options(t, value_of(all, "options"), limits, e);
}

int pg_target_init(struct pg_target *t, const char *conninfo, const struct pg_limits *limits,
		   struct err *e)
{
	char *why = NULL;
	PQconninfoOption *all = PQconninfoParse(conninfo, &why);
	int rc;

	memset(t, 0, sizeof(*t));
	if (!all) {
		rc = err_set(e, ERR_INVALID, "connection string: %s", why ? why : "out of memory");
		PQfreemem(why);
		return rc;
	}
	t->keywords[AT_HOST] = "host";
	t->keywords[AT_HOSTADDR] = "hostaddr";
	t->keywords[AT_PORT] = "port";
	t->param_count = AT_OTHERS;
	rc = fill(t, all, limits, e);
	PQconninfoFree(all);
	if (rc < 0)
		pg_target_deinit(t);
	return rc;
}

void pg_target_deinit(struct pg_target *t)
{
	/* A password may be among them. */
	for (size_t i = AT_OTHERS; i < t->param_count; i++) {
		OPENSSL_cleanse(t->values[i], strlen(t->values[i]));
		free(t->values[i]);
	}
	for (size_t i = 0; i < t->host_count; i++) {
		free(t->hosts[i].host);
		free(t->hosts[i].hostaddr);
		free(t->hosts[i].port);
	}
	memset(t, 0, sizeof(*t));
}

const struct pg_host *pg_target_next(struct pg_target *t)
{
	return &t->hosts[t->attempt++ % t->host_count];
}

bool pg_target_round_done(const struct pg_target *t)
{
	return t->attempt % t->host_count == 0;
}

const char *const *pg_target_values(struct pg_target *t, const char *address)
{
	struct pg_host *h = &t->hosts[(t->attempt + t->host_count - 1) % t->host_count];

	t->values[AT_HOST] = h->host;
	t->values[AT_HOSTADDR] = address ? (char *)(uintptr_t)address : h->hostaddr;
	t->values[AT_PORT] = h->port;
	return (const char *const *)t->values;
}
