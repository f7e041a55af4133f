/* A list of apis while it is put together (apis_list.c). Thread: the loop. */
#ifndef CARDEA_ADMIN_APIS_LIST_H
#define CARDEA_ADMIN_APIS_LIST_H

#include "control-plane/admin/request.h"

struct apis_list;

/* NULL is fine. */
void apis_list_free(struct apis_list *l);

#endif
