#include "control-plane/first_token.h"

#include <openssl/crypto.h>
#include <stdlib.h>

#include "control-plane/admin/token_store.h"
#include "control-plane/model/name.h"

struct first {
	struct token token;
	char text[TOKEN_TEXT_SIZE];
	FILE *out;
	void (*done)(const struct err *e, void *arg);
	void *arg;
};

static void end(struct first *f, const struct err *e)
{
	f->done(e, f->arg);
	OPENSSL_cleanse(f, sizeof(*f));
	free(f);
}

static void on_stored(const struct store_result *r, void *arg)
{
	struct first *f = arg;
	struct err e = r->err;

	if (r->fault == STORE_UNIQUE)
		err_set(&e, ERR_CONFLICT, "a token of this name exists");
	else if (r->fault == STORE_OK && (fprintf(f->out, "%s\n", f->text) < 0 || fflush(f->out)))
		err_set(&e, ERR_UNAVAILABLE, "the token was made but could not be written out");
	end(f, e.kind == ERR_NONE ? NULL : &e);
}

static int check_name(const char *name, struct err *e)
{
	json_t *text = json_string(name);
	int rc;

	if (!text || !name[0])
		rc = err_set(e, ERR_INVALID, "not a name for a token");
	else
		rc = name_check(text, e);
	json_decref(text);
	return rc;
}

void first_token(struct store *s, const char *name, FILE *out,
		 void (*done)(const struct err *e, void *arg), void *arg)
{
	struct first *f = calloc(1, sizeof(*f));
	const struct token_spec spec = {.name = name, .role = ROLE_ADMIN, .read_keys = true};
	const struct store_note note = {
		.actor = "cardea-cp -A", .actor_kind = "engine", .kind = TOKEN_STORE_KIND};
	struct err e = ERR_INIT;

	if (!f) {
		err_memory(&e, "a token");
		done(&e, arg);
		return;
	}
	f->out = out;
	f->done = done;
	f->arg = arg;
	if (check_name(name, &e) < 0 || token_make(&f->token, f->text, &e) < 0) {
		end(f, &e);
		return;
	}
	token_store_add(s, &f->token, &spec, &note, on_stored, f);
}
