/* Host names in entities: Kong's shared validators (kong-admin-api.md 2). Thread: any. */
#ifndef CARDEA_MODEL_HOST_H
#define CARDEA_MODEL_HOST_H

#include <jansson.h>
#include <stdbool.h>

#include "common/core/err.h"
#include "common/core/str.h"

enum { HOST_NAME_SIZE = 254 }; /* with NUL (RFC 1035 section 2.3.4) */

/* A field check: a host name with at most one `*`, as first or last character; `*` alone. */
int host_check_wildcard(const json_t *value, struct err *e) must_check;
/* What a data plane looks an SNI up by: out becomes the name in lower case, or an IP address as
 * RFC 5952 has it, for clients that send no name and came to that address (RFC 8738). False: no
 * client can ask for that name (`*a.com`, `123`), although host_check_wildcard takes it, as Kong
 * does. */
bool host_sni_served(struct str name, char out[HOST_NAME_SIZE]) must_check;
/* A host name or an IP address, without a port (services.host). */
int host_check(const json_t *value, struct err *e) must_check;
/* The same with an optional port (upstreams.host_header). */
int host_check_optional_port(const json_t *value, struct err *e) must_check;
/* routes.hosts: a name with an optional port; `*` may be its whole first or last label. */
int host_check_route(const json_t *value, struct err *e) must_check;
/* upstreams.name: a host name and nothing else. */
int host_check_upstream(const json_t *value, struct err *e) must_check;
/* An IPv4 or IPv6 address, or a range in CIDR form. */
int host_check_ip_or_cidr(const json_t *value, struct err *e) must_check;
/* targets.target: anything that host_target takes. */
int host_check_target(const json_t *value, struct err *e) must_check;
/* Appends a target as Kong stores it: host:port, port 8000 when there is none, IPv6 with all its
 * digits in brackets. */
int host_target(struct buf *out, struct str s, struct err *e) must_check;

#endif
