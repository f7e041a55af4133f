/* What commands print on stdout: rows as a table, as JSON, or as names. Text of the server that a
 * terminal could take for commands is made harmless in tables. Thread: main. */
#ifndef CARDEA_CLI_PRINT_H
#define CARDEA_CLI_PRINT_H

#include <stdio.h>

#include "control-plane/cli/columns.h"
#include "control-plane/cli/commands.h"

enum print_form { PRINT_TABLE, PRINT_JSON, PRINT_NAME };

struct print {
	FILE *out; /* private, as all */
	enum print_form form;
	const struct columns *columns;
	bool list; /* several rows may come: JSON is an array */
	size_t rows;
	char **cells; /* of a table: row by row, printed at the end */
	size_t cell_count, cell_room;
};

/* The form is that of -o; kind chooses the columns. ERR_INVALID: no such form. */
int print_begin(struct print *p, const struct cli *c, const char *kind, bool list, FILE *out,
		struct err *e) must_check;
/* name: what -o name shows of the row ("services/a"). */
int print_row(struct print *p, const json_t *row, const char *name, struct err *e) must_check;
/* Prints what was kept and frees; with `print` false it only frees. */
void print_end(struct print *p, bool print);
/* Text for a person, on one line: control characters become '?'. */
int print_safe(struct buf *out, struct str text, struct err *e) must_check;

#endif
