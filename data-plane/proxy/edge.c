#include "data-plane/proxy/edge.h"

#include "common/http/syntax.h"

/* Kong's default of real_ip_header is written with capitals. */
static int read_header_name(struct edge *x, const char *name, struct err *e)
{
	struct str text = str_from(name);

	if (text.len == 0 || text.len > EDGE_REAL_IP_HEADER_MAX ||
	    (!str_eq(text, STR("proxy_protocol")) && !http_is_token(text)))
		return err_set(e, ERR_INVALID,
			       "real_ip_header: use the name of a header field, or proxy_protocol");
	for (size_t i = 0; i < text.len; i++)
		x->real_ip_header[i] = ascii_lower(text.ptr[i]);
	x->rules.real_ip_header = (struct str){x->real_ip_header, text.len};
	return 0;
}

/* What needs no file. */
static int read_settings(struct edge *x, const struct dp_config *c, struct err *e)
{
	if (ip_set_parse(&x->trusted, str_from(c->trusted_ips), e) != 0)
		return err_prefix(e, "trusted_ips");
	x->rules.trusted = x->trusted;
	x->rules.recursive = c->real_ip_recursive;
	x->upstream_proxy = (enum proxy_version)c->upstream_proxy_protocol;
	if (tokens_parse(&x->tokens, str_from(c->headers ? c->headers : "off"), e) != 0)
		return err_prefix(e, "headers");
	return read_header_name(x, c->real_ip_header, e);
}

static bool has_log(const struct dp_config *c)
{
	return c->proxy_access_log && strcmp(c->proxy_access_log, "off") != 0;
}

int edge_check(const struct dp_config *c, struct err *e)
{
	struct edge x = {0};
	int rc = read_settings(&x, c, e);

	ip_set_free(x.trusted);
	if (rc == 0 && has_log(c) && c->proxy_access_log[0] != '/')
		rc = err_set(e, ERR_INVALID, "proxy_access_log: use an absolute path, or off");
	return rc;
}

static int open_parts(struct edge *x, const struct dp_config *c, size_t workers, struct err *e)
{
	const struct client_limits_options limits = {
		.connections = (unsigned)c->client_max_connections,
		.connections_per_second = (unsigned)c->client_connection_rate,
		.requests_per_second = (unsigned)c->client_request_rate,
		.addresses = (size_t)c->client_addresses,
	};
	const struct access_log_options log = {
		.path = c->proxy_access_log,
		.format = (enum access_format)c->proxy_access_log_format,
		.writers = workers,
	};

	if (read_settings(x, c, e) != 0 || client_limits_create(&x->limits, &limits, e) != 0 ||
	    memory_guard_init(&x->memory, c->memory_limit, e) != 0)
		return -1;
	return has_log(c) ? access_log_create(&x->log, &log, e) : 0;
}

int edge_init(struct edge *x, const struct dp_config *c, size_t workers, struct err *e)
{
	memset(x, 0, sizeof(*x));
	if (open_parts(x, c, workers, e) == 0)
		return 0;
	edge_deinit(x);
	return -1;
}

void edge_deinit(struct edge *x)
{
	access_log_free(x->log);
	memory_guard_deinit(&x->memory);
	client_limits_free(x->limits);
	ip_set_free(x->trusted);
	memset(x, 0, sizeof(*x));
}
