#include "control-plane/declared.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/core/log.h"
#include "control-plane/store/load.h"

struct declared {
	const char *name; /* of the file, or the key */
	void (*done)(bool loaded, void *arg);
	void *arg;
};

static void finish(struct declared *d, bool loaded)
{
	if (d->done)
		d->done(loaded, d->arg);
	free(d);
}

static void fail(struct declared *d, const struct err *e)
{
	log_error("declarative configuration not loaded", log_str("from", d->name), log_err(e));
	finish(d, false);
}

static void on_loaded(const struct load_result *r, void *arg)
{
	struct declared *d = arg;

	if (r->outcome == LOAD_FAILED) {
		fail(d, &r->err);
		return;
	}
	if (r->outcome == LOAD_REFUSED)
		log_error("declarative configuration refused", log_str("from", d->name),
			  log_str("reason", r->lines));
	else
		log_notice("declarative configuration loaded", log_str("from", d->name),
			   log_u64("revision", r->revision));
	finish(d, r->outcome == LOAD_DONE);
}

void declared_load(struct store *s, const struct cp_config *c, void (*done)(bool loaded, void *arg),
		   void *arg)
{
	struct declared *d = calloc(1, sizeof(*d));
	struct load_request q = {.file = c->declarative_config};
	struct buf text = {.secret = true};
	struct err e = ERR_INIT;
	int rc = 0;

	if (!d) {
		log_error("out of memory: declarative configuration");
		if (done)
			done(false, arg);
		return;
	}
	*d = (struct declared){c->declarative_config, done, arg};
	if (c->declarative_config_string) {
		d->name = "declarative_config_string";
		rc = buf_add_str(&text, str_from(c->declarative_config_string), &e);
		q = (struct load_request){.text = &text};
	}
	q.verify = c->tls_certificate_verify;
	if (rc == 0 && !d->name)
		finish(d, true);
	else if (rc < 0 || store_load(s, &q, on_loaded, d, &e) < 0)
		fail(d, &e);
	buf_deinit(&text);
}
