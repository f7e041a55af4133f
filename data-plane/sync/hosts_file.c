#include "data-plane/sync/hosts_file.h"

#include <stdio.h>
#include <stdlib.h>

struct hosts_entry {
	size_t count;
	struct address items[HOSTS_PER_NAME];
};

void hosts_file_init(struct hosts_file *h, const char *path)
{
	*h = (struct hosts_file){.path = path};
	map_init(&h->names);
}

void hosts_file_deinit(struct hosts_file *h)
{
	size_t pos = 0;
	struct str key;
	void *value;

	while (map_next(&h->names, &pos, &key, &value))
		free(value);
	map_deinit(&h->names);
	map_init(&h->names);
}

static void add_name(struct hosts_file *h, struct str name, const struct addr *a)
{
	char lower[ADDRESSES_NAME_MAX];
	struct str key = {lower, name.len};
	struct hosts_entry *x;

	if (name.len == 0 || name.len > sizeof(lower))
		return;
	for (size_t i = 0; i < name.len; i++)
		lower[i] = ascii_lower(name.ptr[i]);
	x = map_get(&h->names, key);
	if (!x) {
		x = calloc(1, sizeof(*x));
		if (!x || map_put(&h->names, key, x, NULL, NULL) < 0) {
			free(x);
			return;
		}
	}
	if (x->count < HOSTS_PER_NAME)
		x->items[x->count++].addr = *a;
}

static bool next_word(struct str *rest, struct str *word)
{
	size_t from = 0, to;

	while (from < rest->len &&
	       (rest->ptr[from] == ' ' || rest->ptr[from] == '\t' || rest->ptr[from] == '\r'))
		from++;
	to = from;
	while (to < rest->len && rest->ptr[to] != ' ' && rest->ptr[to] != '\t' &&
	       rest->ptr[to] != '\r')
		to++;
	*word = str_sub(*rest, from, to);
	*rest = str_sub(*rest, to, rest->len);
	return word->len > 0;
}

static void take_line(struct hosts_file *h, struct str line)
{
	struct str rest = str_sub(line, 0, str_find(line, '#', 0)), word;
	struct addr a;

	if (!next_word(&rest, &word) || addr_parse_ip(&a, word) < 0)
		return;
	while (next_word(&rest, &word))
		add_name(h, word, &a);
}

static void take_text(struct hosts_file *h, struct str text)
{
	struct str line;

	while (text.len > 0) {
		bool more = str_split(&text, '\n', &line);

		take_line(h, line);
		if (!more)
			break;
	}
}

static void read_all(struct hosts_file *h, FILE *f)
{
	char *text = malloc(HOSTS_FILE_MAX);
	size_t n = text ? fread(text, 1, HOSTS_FILE_MAX, f) : 0;

	take_text(h, (struct str){text, n});
	free(text);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

void hosts_file_refresh(struct hosts_file *h)
{
	struct stat now = {0};
	FILE *f;

	if (!h->path || (stat(h->path, &now) == 0 && same_file(&now, &h->seen)))
		return;
	hosts_file_deinit(h);
	h->seen = now;
	f = fopen(h->path, "re");
	if (!f)
		return;
	read_all(h, f);
	(void)fclose(f);
}

size_t hosts_file_find(const struct hosts_file *h, struct str name, const struct address **out)
{
	const struct hosts_entry *x = map_get(&h->names, name);

	if (!x)
		return 0;
	*out = x->items;
	return x->count;
}
