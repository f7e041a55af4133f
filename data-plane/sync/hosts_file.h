/* Names of a hosts file (hosts(5)), read again when it changed. owner and thread: the resolver's.
 */
#ifndef CARDEA_SYNC_HOSTS_FILE_H
#define CARDEA_SYNC_HOSTS_FILE_H

#include <sys/stat.h>

#include "common/core/map.h"
#include "data-plane/tables/addresses.h"

enum { HOSTS_FILE_MAX = 4 << 20, HOSTS_PER_NAME = 16 };

struct hosts_file {
	const char *path; /* set; NULL: none */
	struct map names; /* private: to struct hosts_entry */
	struct stat seen; /* private */
};

/* path outlives it; may be NULL. */
void hosts_file_init(struct hosts_file *h, const char *path);
void hosts_file_deinit(struct hosts_file *h);
/* Looks whether the file is another one than before. What cannot be read is as empty. */
void hosts_file_refresh(struct hosts_file *h);
/* How many addresses the name (lower case) has; 0: it is not there. *out lives until refresh. */
size_t hosts_file_find(const struct hosts_file *h, struct str name, const struct address **out);

#endif
