/* Routes and requests for tests, written as one line each.
 *
 *     "hosts=a.com,*.b.com paths=/foo,~/r\d methods=GET headers=x-a:1|2;x-b:~*re snis=s prio=1
 * at=5" and for the path to the upstream: "base=/x strip=off v1" "GET https://a.com:8443/foo?sni=s
 * x-a: 1; x-b: 2"  (without "//host": no host)
 */
#ifndef CARDEA_TESTS_ROUTE_TEXT_H
#define CARDEA_TESTS_ROUTE_TEXT_H

#include "data-plane/proxy/upstream_path.h"
#include "data-plane/tables/route_match.h"

/* Everything points into a or into text. Fails the test when the line is malformed. */
struct route_source route_text(struct arena *a, const char *text);
/* What route_text skips. */
struct upstream_path_rule rule_text(const char *text);
/* As route_text; host and path as a client spells them: they are brought into the form that is
 * looked up. */
struct route_request request_text(struct arena *a, const char *text);

/* Kong's algorithm step by step, over lists: slow, and near to its description (kong-admin-api.md
 * 2.5). The index of the route in n sources that the request wants; -1: none. */
int route_model(const struct route_source *sources, size_t n, const struct route_request *q);

#endif
