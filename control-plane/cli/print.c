#include "control-plane/cli/print.h"

#include <stdlib.h>
#include <string.h>

int print_safe(struct buf *out, struct str text, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; i < text.len && rc == 0; i++) {
		unsigned char c = (unsigned char)text.ptr[i];
		/* U+0080 to U+009F: control characters of eight bits. */
		bool high = c == 0xc2 && i + 1 < text.len &&
			    (unsigned char)text.ptr[i + 1] >= 0x80 &&
			    (unsigned char)text.ptr[i + 1] < 0xa0;

		i += high;
		rc = buf_add(out, high || c < 0x20 || c == 0x7f ? "?" : &text.ptr[i], 1, e);
	}
	return rc;
}

/* Characters, as far as they take one column each. */
static size_t width_of(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

int print_begin(struct print *p, const struct cli *c, const char *kind, bool list, FILE *out,
		struct err *e)
{
	static const char *const forms[] = {
		[PRINT_TABLE] = "table", [PRINT_JSON] = "json", [PRINT_NAME] = "name"};
	const char *wanted = c->option[OPTION_OUTPUT] ? c->option[OPTION_OUTPUT] : "table";

	*p = (struct print){.out = out, .columns = columns_of(kind), .list = list};
	for (size_t i = 0; i < array_len(forms); i++) {
		if (strcmp(forms[i], wanted) != 0)
			continue;
		p->form = (enum print_form)i;
		return 0;
	}
	return err_set(e, ERR_INVALID, "--output: %s is not one of: %s", wanted,
		       cli_options[OPTION_OUTPUT].argument);
}

/* --- tables --- */

static int keep(struct print *p, const char *text, struct err *e)
{
	char **more;

	if (p->cell_count == p->cell_room) {
		size_t room = p->cell_room ? 2 * p->cell_room : 64;

		more = realloc(p->cells, room * sizeof(*more));
		if (!more)
			return err_memory(e, "a table");
		p->cells = more;
		p->cell_room = room;
	}
	p->cells[p->cell_count] = str_dup(str_from(text));
	if (!p->cells[p->cell_count])
		return err_memory(e, "a table");
	p->cell_count++;
	return 0;
}

static int keep_cell(struct print *p, const struct column *column, const json_t *row, struct err *e)
{
	const json_t *value = columns_member(row, column->member);
	struct buf shown = BUF_INIT, safe = BUF_INIT;
	int rc = value ? column->show(&shown, value, e) : buf_add_str(&shown, STR("-"), e);

	if (rc == 0)
		rc = print_safe(&safe, buf_str(&shown), e);
	if (rc == 0)
		rc = keep(p, safe.data ? safe.data : "", e);
	buf_deinit(&shown);
	buf_deinit(&safe);
	return rc;
}

static size_t column_width(const struct print *p, size_t column)
{
	size_t width = width_of(p->columns->columns[column].title);

	for (size_t i = column; i < p->cell_count; i += p->columns->count) {
		size_t n = width_of(p->cells[i]);

		if (n > width)
			width = n;
	}
	return width;
}

static void print_cell(struct print *p, size_t column, size_t width, const char *text)
{
	fputs(text, p->out);
	if (column + 1 == p->columns->count) {
		fputc('\n', p->out);
		return;
	}
	for (size_t n = width_of(text); n < width + 2; n++)
		fputc(' ', p->out);
}

static void print_table(struct print *p)
{
	size_t n = p->columns->count;
	size_t *widths = calloc(n, sizeof(*widths));

	/* Without memory for widths the table is ragged, not lost. */
	for (size_t i = 0; widths && i < n; i++)
		widths[i] = column_width(p, i);
	for (size_t i = 0; i < n; i++)
		print_cell(p, i, widths ? widths[i] : 0, p->columns->columns[i].title);
	for (size_t i = 0; i < p->cell_count; i++)
		print_cell(p, i % n, widths ? widths[i % n] : 0, p->cells[i]);
	free(widths);
}

/* --- rows --- */

static int print_json(struct print *p, const json_t *row, struct err *e)
{
	char *text = json_dumps(row, JSON_INDENT(2) | JSON_ENCODE_ANY | JSON_REAL_PRECISION(16));

	if (!text)
		return err_memory(e, "printing");
	if (p->list)
		fputs(p->rows ? ",\n" : "[\n", p->out);
	fputs(text, p->out);
	if (!p->list)
		fputc('\n', p->out);
	free(text);
	return 0;
}

int print_row(struct print *p, const json_t *row, const char *name, struct err *e)
{
	struct buf safe = BUF_INIT;
	int rc = 0;

	if (p->form == PRINT_JSON) {
		rc = print_json(p, row, e);
	} else if (p->form == PRINT_NAME) {
		rc = print_safe(&safe, str_from(name), e);
		if (rc == 0)
			fprintf(p->out, "%s\n", safe.data ? safe.data : "");
		buf_deinit(&safe);
	} else {
		for (size_t i = 0; i < p->columns->count && rc == 0; i++)
			rc = keep_cell(p, &p->columns->columns[i], row, e);
	}
	p->rows++;
	return rc;
}

void print_end(struct print *p, bool print)
{
	if (print && p->form == PRINT_JSON && p->list)
		fputs(p->rows ? "\n]\n" : "[]\n", p->out);
	if (print && p->form == PRINT_TABLE && p->columns)
		print_table(p);
	for (size_t i = 0; i < p->cell_count; i++)
		free(p->cells[i]);
	free(p->cells);
	p->cells = NULL;
	p->cell_count = p->cell_room = 0;
}
