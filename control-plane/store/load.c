/* Loading documents.
 *
 *   store_load ─▶ pool: file ─▶ tree ─▶ rows ─▶ state ─▶ loop: the store takes the state ─▶ done
 *                    └──────────┴───────┴─ wrong: what and where; nothing changes ─▶ done
 */
#include "control-plane/store/load.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/core/clock.h"
#include "control-plane/model/declarative.h"
#include "control-plane/store/store_internal.h"

enum { READ_BYTES = 65536 };

struct load {
	struct work work;
	struct store *store;
	struct memory_state *before;
	char *file;
	struct buf text;
	json_t *tree;
	bool flatten, verify;
	/* What came out of it. */
	struct memory_state *state;
	char hash[LOAD_HASH_SIZE];
	struct load_result result;
	json_t *entities, *fault;
	struct buf lines;
	load_done done;
	void *arg;
};

int load_hash(char out[LOAD_HASH_SIZE], struct str text, struct err *e)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int size = 0;
	struct buf hex = BUF_INIT;
	int rc = -1;

	if (EVP_Digest(text.ptr, text.len, digest, &size, EVP_md5(), NULL) != 1)
		err_openssl(e, ERR_INTERNAL, "hashing a configuration");
	else
		rc = hex_encode(&hex, (struct str){(const char *)digest, size}, e);
	if (rc == 0)
		snprintf(out, LOAD_HASH_SIZE, "%s", hex.data);
	buf_deinit(&hex);
	return rc;
}

/* --- on the pool --- */

static int read_all(int fd, struct buf *out, struct err *e)
{
	for (;;) {
		ssize_t n;

		if (buf_reserve(out, READ_BYTES, e) < 0)
			return -1;
		n = read(fd, out->data + out->len, READ_BYTES);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(e, ERR_NOT_FOUND, errno, "reading it");
		if (n == 0)
			return 0;
		out->len += (size_t)n;
		out->data[out->len] = '\0';
	}
}

static int read_file(struct load *l, struct err *e)
{
	int fd = open(l->file, O_RDONLY | O_CLOEXEC);
	int rc;

	if (fd < 0)
		return err_errno(e, ERR_NOT_FOUND, errno, "%s", l->file);
	buf_init(&l->text, LOAD_FILE_MAX);
	l->text.secret = true;
	rc = read_all(fd, &l->text, e);
	close(fd);
	return rc < 0 ? err_prefix(e, "%s", l->file) : 0;
}

static void refuse_text(struct load *l, const struct err *e)
{
	l->result.outcome = LOAD_REFUSED;
	l->fault = declarative_parse_fault(e);
	if (!l->fault || buf_add_str(&l->lines, str_from(e->message), NULL) < 0)
		l->result.outcome = LOAD_FAILED;
}

static int get_tree(struct load *l, struct err *e)
{
	if (l->tree)
		return 0;
	if (l->file && read_file(l, e) < 0)
		return -1;
	if (load_hash(l->hash, buf_str(&l->text), e) < 0)
		return -1;
	return declarative_parse(&l->tree, buf_str(&l->text), l->file, e);
}

static void refuse_document(struct load *l, const struct declarative *d, struct err *e)
{
	l->fault = declarative_fault(d, l->flatten);
	if (l->fault && declarative_print(d, &l->lines, e) == 0)
		l->result.outcome = LOAD_REFUSED;
	else
		err_memory(e, "declarative configuration");
}

static bool is_declared(const struct entity *t, const void *arg)
{
	(void)arg;
	return !t->internal;
}

static int make_state(struct load *l, const struct declarative *d, struct err *e)
{
	struct memory_input *inputs = calloc(d->count + 1, sizeof(*inputs));
	int rc;

	if (!inputs)
		return err_memory(e, "declarative configuration");
	for (size_t i = 0; i < d->count; i++) {
		const json_t *created = json_object_get(d->items[i].input, "created_at");

		inputs[i] = (struct memory_input){d->items[i].entity, d->items[i].row,
						  created && !json_is_null(created)};
	}
	rc = memory_state_make(&l->state, l->before, is_declared, NULL, inputs, d->count, e);
	free(inputs);
	return rc;
}

/* Of what was parsed elsewhere there is no text: the hash is that of the entities. */
static int hash_entities(struct load *l, struct err *e)
{
	char *text = json_dumps(l->entities, JSON_COMPACT | JSON_SORT_KEYS);
	int rc = text ? load_hash(l->hash, str_from(text), e) : err_memory(e, "configuration hash");

	free(text);
	return rc;
}

static int accept_document(struct load *l, const struct declarative *d, struct err *e)
{
	l->entities = declarative_show(d);
	if (!l->entities)
		return err_memory(e, "declarative configuration");
	if (!l->hash[0] && hash_entities(l, e) < 0)
		return -1;
	if (make_state(l, d, e) < 0)
		return -1;
	l->result.outcome = LOAD_DONE;
	return 0;
}

static void on_pool(struct work *w)
{
	struct load *l = container_of(w, struct load, work);
	const struct declarative_options o = {.now_ms = clock_wall_ms(), .verify = l->verify};
	struct err *e = &l->result.err;
	struct declarative d = {.count = 0};

	l->result.outcome = LOAD_FAILED;
	if (get_tree(l, e) < 0) {
		if (e->kind == ERR_INVALID)
			refuse_text(l, e);
		return;
	}
	if (declarative_read(&d, l->tree, &o, e) == 0) {
		if (declarative_refused(&d))
			refuse_document(l, &d, e);
		else
			(void)!accept_document(l, &d, e);
	}
	declarative_deinit(&d);
}

/* --- on the loop --- */

static void load_free(struct load *l)
{
	memory_state_unref(l->before);
	json_decref(l->tree);
	json_decref(l->entities);
	json_decref(l->fault);
	buf_deinit(&l->text);
	buf_deinit(&l->lines);
	free(l->file);
	free(l);
}

static void on_loaded(struct work *w)
{
	struct load *l = container_of(w, struct load, work);
	struct memory *m = l->store->memory;

	m->writing = false;
	if (l->result.outcome == LOAD_DONE) {
		memory_replace(m, l->state);
		memcpy(m->hash, l->hash, sizeof(m->hash));
		l->result.revision = m->now->revision;
	}
	l->result.entities = l->entities;
	l->result.fault = l->fault;
	l->result.lines = l->lines.data;
	l->done(&l->result, l->arg);
	load_free(l);
	memory_release(m);
}

static int load_init(struct load *l, const struct load_request *q, struct err *e)
{
	l->verify = q->verify;
	if (q->file) {
		l->file = strdup(q->file);
		return l->file ? 0 : err_memory(e, "loading a configuration");
	}
	if (q->text) {
		l->text = *q->text;
		*q->text = (struct buf){.limit = q->text->limit, .secret = q->text->secret};
	}
	l->tree = json_incref(q->tree);
	return 0;
}

int store_load(struct store *s, const struct load_request *q, load_done done, void *arg,
	       struct err *e)
{
	struct load *l;

	if (!s->memory)
		return err_set(e, ERR_INVALID, "the store has a database");
	if (s->memory->writing)
		return err_set(e, ERR_UNAVAILABLE, "Currently loading previous configuration");
	l = calloc(1, sizeof(*l));
	if (!l)
		return err_memory(e, "loading a configuration");
	l->store = s;
	l->flatten = q->flatten;
	l->done = done;
	l->arg = arg;
	l->before = memory_state_ref(s->memory->now);
	if (load_init(l, q, e) < 0 || work_start(&l->work, s->loop, on_pool, on_loaded, e) < 0) {
		load_free(l);
		return -1;
	}
	s->memory->writing = true;
	memory_hold(s->memory);
	return 0;
}

const char *store_configuration_hash(const struct store *s)
{
	return s->memory ? s->memory->hash : NULL;
}

static int write_kind(struct declarative_writer *w, const struct memory_table *t, struct err *e)
{
	for (size_t i = 0; i < t->count; i++)
		if (declarative_write(w, t->entity, t->rows[i].row, e) < 0)
			return -1;
	return 0;
}

int store_export(const struct store *s, struct buf *out, struct err *e)
{
	struct declarative_writer *w;
	const struct entity *t;
	int rc = 0;

	if (!s->memory)
		return err_set(e, ERR_INVALID, "the store has a database");
	if (declarative_write_begin(&w, out, e) < 0)
		return -1;
	for (size_t i = 0; (t = entity_at(i)) && rc == 0; i++)
		if (!t->internal)
			rc = write_kind(w, memory_state_table(s->memory->now, t), e);
	if (declarative_write_end(w, rc == 0 ? e : NULL) < 0)
		rc = -1;
	return rc;
}
