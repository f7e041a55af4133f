/* A request for tests of plugins, without a proxy: what request.h tells of it is set here, and what
 * a plugin did to it is read here. Links in place of data-plane/proxy/request.c. */
#ifndef CARDEA_TESTS_FAKE_REQUEST_H
#define CARDEA_TESTS_FAKE_REQUEST_H

#include "data-plane/proxy/request.h"

struct request {
	/* set */
	struct http_request head;
	struct client client;
	const struct tables *tables;
	X509 *certificate;
	STACK_OF(X509) * chain;
	struct loop *loop;
	/* read */
	struct arena arena;
	struct http_fields fields; /* set; a removed one has the value STR_NONE */
	unsigned status;	   /* of the answer; 0: none */
	struct str type, body;
	struct http_fields answer_fields;
	bool has_consumer, anonymous, resumed;
	unsigned char consumer[16];
	uint64_t body_came, body_limit; /* bytes that came before; what a plugin allows */
	void (*gone)(void *arg);
	void *gone_arg;
};

void fake_request_init(struct request *r, const struct tables *tables);
/* As when its client leaves. */
void fake_request_deinit(struct request *r);
void fake_request_add(struct request *r, const char *name, const char *value);
/* What the upstream gets of a field that a plugin touched: "-" when it was removed, NULL when it
 * was not touched. */
const char *fake_request_field(const struct request *r, const char *name);

#endif
