/* A server on loopback that gives one answer, for those who fetch from responders. */
#ifndef CARDEA_TESTS_RESPONDER_H
#define CARDEA_TESTS_RESPONDER_H

#include "common/http/session.h"
#include "common/net/listener.h"
#include "tests/unit/lib/loop_fixture.h"

struct responder {
	struct loop_fixture *f;
	struct http_server server;
	struct listener *listener;
	SSL_CTX *tls;	 /* set before start; owned by the test */
	unsigned status; /* of the answer; 0: none comes */
	struct buf body; /* of the answer */
	unsigned requests;
	char target[1100], method[8], type[64]; /* of the last request */
	struct buf asked;			/* its body */
	char url[64];				/* "http://127.0.0.1:port" */
	uint16_t port;
};
void responder_start(struct responder *r, struct loop_fixture *f, SSL_CTX *tls);
/* Runs the loop until its connections are gone. */
void responder_stop(struct responder *r);

#endif
