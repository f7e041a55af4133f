#include "control-plane/store/json_memory.h"

#include <jansson.h>
#include <malloc.h>
#include <openssl/crypto.h>
#include <stdlib.h>

/* What malloc rounded up is ours to write as well (malloc_usable_size(3)). */
static void free_cleansed(void *p)
{
	if (!p)
		return;
	OPENSSL_cleanse(p, malloc_usable_size(p));
	free(p);
}

void json_memory_setup(void)
{
	json_set_alloc_funcs(malloc, free_cleansed);
}
