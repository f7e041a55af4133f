/* Small files of the command line client: read whole, written beside and renamed. Thread: main. */
#ifndef CARDEA_CLI_FILES_H
#define CARDEA_CLI_FILES_H

#include <stdbool.h>

#include "common/core/err.h"
#include "common/core/str.h"

/* Of any kind; a link that leads nowhere does not. */
bool file_exists(const char *path);
/* Appends the content; at most the buffer's limit. */
int file_read(const char *path, struct buf *out, struct err *e) must_check;
/* As file_read; "-" is the standard input. */
int file_read_or_stdin(const char *path, struct buf *out, struct err *e) must_check;
/* Writes path.new with this mode, syncs it, renames it over path. */
int file_write(const char *path, struct str content, unsigned mode, struct err *e) must_check;

#endif
