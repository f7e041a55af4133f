#include "data-plane/tables/service.h"

#include "data-plane/tables/entity_type.h"

/* As the control plane's model has them. */
enum { TIMEOUT_MAX = 2147483646, RETRIES_MAX = 32767, PORT_MAX = 65535, DEPTH_MAX = 64 };
enum { TIMEOUT_DEFAULT = 60000, RETRIES_DEFAULT = 5, PORT_DEFAULT = 80 };

static const char *const protocols[] = {"http", "https",	   "grpc", "grpcs", "tcp",
					"tls",	"tls_passthrough", "udp",  NULL};

static_assert(array_len(protocols) == SERVICE_PROTOCOLS + 1, "each has its name");

static int make_numbers(struct service *s, const struct fields *f, struct err *e)
{
	int64_t port, retries, connect, write, read, depth;

	if (entity_integer(f, "port", PORT_DEFAULT, 0, PORT_MAX, &port, e) < 0 ||
	    entity_integer(f, "retries", RETRIES_DEFAULT, 0, RETRIES_MAX, &retries, e) < 0 ||
	    entity_integer(f, "connect_timeout", TIMEOUT_DEFAULT, 1, TIMEOUT_MAX, &connect, e) <
		    0 ||
	    entity_integer(f, "write_timeout", TIMEOUT_DEFAULT, 1, TIMEOUT_MAX, &write, e) < 0 ||
	    entity_integer(f, "read_timeout", TIMEOUT_DEFAULT, 1, TIMEOUT_MAX, &read, e) < 0 ||
	    entity_integer(f, "tls_verify_depth", -1, 0, DEPTH_MAX, &depth, e) < 0)
		return -1;
	s->port = (uint16_t)port;
	s->retries = (unsigned)retries;
	s->connect_ms = (uint64_t)connect;
	s->write_ms = (uint64_t)write;
	s->read_ms = (uint64_t)read;
	s->tls_verify_depth = (int)depth;
	return 0;
}

static int make_authorities(struct service *s, const struct fields *f, struct err *e)
{
	if (fields_ids(f, "ca_certificates", &s->entity.memory, &s->ca_certificates, &s->ca_count,
		       e) < 0)
		return -1;
	return entity_id(&s->entity, f, "client_certificate", &s->client_certificate, e);
}

/* What is neither true nor false is left to the global setting. */
static int three_way(const struct fields *f, const char *name)
{
	bool yes = fields_flag(f, name, false);

	return yes == fields_flag(f, name, true) ? yes : -1;
}

static int make(struct entity *en, const struct fields *f, const struct entities *t, struct err *e)
{
	struct service *s = entity_of(en, struct service);
	unsigned protocol;

	(void)t;
	if (entity_text(en, f, "name", false, &s->name, e) < 0 ||
	    entity_text(en, f, "host", true, &s->host, e) < 0 ||
	    entity_text(en, f, "path", false, &s->path, e) < 0 ||
	    entity_choice(f, "protocol", protocols, SERVICE_HTTP, &protocol, e) < 0 ||
	    make_numbers(s, f, e) < 0 || make_authorities(s, f, e) < 0)
		return -1;
	if (!s->host.ptr)
		return err_set(e, ERR_INVALID, "host: there is none");
	if (s->path.ptr && s->path.ptr[0] != '/')
		return err_set(e, ERR_INVALID, "path: it begins with /");
	s->protocol = (enum service_protocol)protocol;
	s->enabled = fields_flag(f, "enabled", true);
	s->tls_verify = three_way(f, "tls_verify");
	return 0;
}

const struct entity_type service_entities = {.size = sizeof(struct service), .make = make};

const struct service *service_find(const struct entities *t, uint64_t generation,
				   const unsigned char id[ENTITY_ID_SIZE])
{
	const struct entity *en = entities_find(t, generation, ENTITIES_SERVICE, id);

	return en ? entity_of(en, struct service) : NULL;
}
