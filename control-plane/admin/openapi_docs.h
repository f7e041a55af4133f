/* What openapi.c cannot know from tables: what the special paths take and give. A route without a
 * row is described by its path alone; a test asks for the row. Thread: any; tables are constant. */
#ifndef CARDEA_ADMIN_OPENAPI_DOCS_H
#define CARDEA_ADMIN_OPENAPI_DOCS_H

#include <stdbool.h>

struct openapi_doc {
	const char *path, *method; /* "/acme/orders/:id" as in the table of routes; "get" */
	const char *summary;
	const char *query;  /* names of components/parameters, separated by spaces; NULL: none */
	const char *body;   /* a component's name; NULL: no body */
	const char *answer; /* a component's name; NULL: no body */
	unsigned status;    /* of success */
	unsigned also, or ; /* with the same body; 0: none */
	bool deprecated;
	const char *type;  /* of the answer; NULL: JSON */
	const char *takes; /* content type of the body; NULL: JSON and forms */
};
/* NULL: not described. */
const struct openapi_doc *openapi_doc_find(const char *path, const char *method);

/* JSON text of a component. */
struct openapi_part {
	const char *name, *json;
};
/* Each ends with a NULL name. */
extern const struct openapi_part openapi_schemas[];
extern const struct openapi_part openapi_parameters[];
extern const struct openapi_part openapi_headers[];
extern const struct openapi_part openapi_security[];
/* Responses without success: status, name and what it means. */
struct openapi_refusal {
	unsigned status;
	const char *name, *description;
	bool body;   /* of operations that take a body only */
	bool writes; /* of operations that change something only */
	bool named;  /* of paths with parameters only */
	bool auth;   /* of servers that ask for credentials only */
};
extern const struct openapi_refusal openapi_refusals[]; /* ends with status 0 */

#endif
