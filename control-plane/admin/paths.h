/* Every path of the admin API: those of the table of routes, and those that follow from the
 * entities. Names in braces are parameters: "/services/{services}/routes". Pure. Thread: any. */
#ifndef CARDEA_ADMIN_PATHS_H
#define CARDEA_ADMIN_PATHS_H

#include "control-plane/admin/router.h"

enum { PATHS_TEXT_SIZE = 160 };

struct api_path {
	char text[PATHS_TEXT_SIZE];
	const struct route *route;
	const struct entity *entity; /* of what it names; NULL: a path of the table */
	bool collection;
	const struct entity *parent; /* /{parent}/{key}/{entity}...; or NULL */
	const struct entity *child;  /* /{child}/{key}/{reference}; or NULL */
};

/* Calls on_path for each until it returns -1, which is then returned. The table's first. */
int paths_each(int (*on_path)(const struct api_path *p, void *arg), void *arg) must_check;

#endif
