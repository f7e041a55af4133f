#include "tests/unit/lib/fake_request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

void fake_request_init(struct request *r, const struct tables *tables)
{
	*r = (struct request){.tables = tables};
	arena_init(&r->arena, 0);
	r->head.method = STR("GET");
	r->head.path = r->head.target = STR("/");
	r->head.scheme = STR("https");
	r->client.tls = true;
}

void fake_request_deinit(struct request *r)
{
	if (r->gone)
		r->gone(r->gone_arg);
	arena_deinit(&r->arena);
}

void fake_request_add(struct request *r, const char *name, const char *value)
{
	assert_int_equal(http_fields_add(&r->head.fields, &r->arena,
					 arena_str(&r->arena, str_from(name)),
					 arena_str(&r->arena, str_from(value))),
			 0);
}

const char *fake_request_field(const struct request *r, const char *name)
{
	for (size_t i = r->fields.count; i > 0; i--) {
		const struct http_field *f = &r->fields.items[i - 1];

		if (str_ieq(f->name, str_from(name)))
			return f->value.ptr ? f->value.ptr : "-";
	}
	return NULL;
}

const struct http_request *request_head(const struct request *r)
{
	return &r->head;
}

struct arena *request_arena(struct request *r)
{
	return &r->arena;
}

const struct client *request_client(const struct request *r)
{
	return &r->client;
}

const struct tables *request_tables(const struct request *r)
{
	return r->tables;
}

uint64_t request_generation(const struct request *r)
{
	return tables_enter(r->tables);
}

struct str request_id(const struct request *r)
{
	(void)r;
	return STR("0123456789abcdef0123456789abcdef");
}

struct loop *request_loop(struct request *r)
{
	return r->loop;
}

X509 *request_certificate(const struct request *r)
{
	return r->certificate;
}

STACK_OF(X509) * request_chain(const struct request *r)
{
	return r->chain;
}

int request_set_field(struct request *r, struct str name, struct str value)
{
	assert_non_null(value.ptr);
	return http_fields_add(&r->fields, &r->arena, name, value);
}

void request_remove_field(struct request *r, struct str name)
{
	assert_int_equal(http_fields_add(&r->fields, &r->arena, name, STR_NONE), 0);
}

int request_set_consumer(struct request *r, const struct consumer *c, bool anonymous)
{
	r->has_consumer = c != NULL;
	r->anonymous = c && anonymous;
	if (c)
		memcpy(r->consumer, c->entity.id, sizeof(r->consumer));
	return 0;
}

const unsigned char *request_consumer(const struct request *r)
{
	return r->has_consumer ? r->consumer : NULL;
}

bool request_is_anonymous(const struct request *r)
{
	return r->anonymous;
}

bool request_limit_body(struct request *r, uint64_t limit, const char *message)
{
	assert_non_null(message);
	r->body_limit = limit;
	return r->body_came <= limit;
}

void request_on_gone(struct request *r, void (*gone)(void *arg), void *arg)
{
	r->gone = gone;
	r->gone_arg = arg;
}

/* As the proxy's: one answer, and nothing after it. */
void request_answer(struct request *r, unsigned status, struct str content_type, struct str body,
		    const struct http_fields *fields)
{
	assert_int_equal(r->status, 0);
	r->status = status;
	r->type = content_type.ptr ? arena_str(&r->arena, content_type) : STR_NONE;
	r->body = arena_str(&r->arena, body);
	for (size_t i = 0; fields && i < fields->count; i++)
		assert_int_equal(http_fields_add(&r->answer_fields, &r->arena,
						 fields->items[i].name, fields->items[i].value),
				 0);
}

void request_answer_message(struct request *r, unsigned status, struct str message)
{
	request_answer(r, status, STR_NONE, message, NULL);
}

void request_resume(struct request *r)
{
	assert_int_equal(r->status, 0);
	r->resumed = true;
}
