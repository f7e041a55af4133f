/* Everything that a CA's bytes reach: documents, problem documents, nonces, Retry-After, URLs. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "control-plane/acme/backoff.h"
#include "control-plane/acme/message.h"
#include "control-plane/acme/problem.h"
#include "control-plane/acme/url.h"
#include "control-plane/acme/verdict.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct str s = {(const char *)data, size};
	struct acme_directory directory;
	struct acme_order_doc order;
	struct acme_authorization_doc authorization;
	struct problem problem;
	int64_t ms = 0;

	if (message_read_directory(&directory, s, NULL) == 0 && !directory.new_order[0])
		abort();
	if (message_read_order(&order, s, NULL) == 0) {
		if ((order.status == ACME_VALID && !order.certificate[0]) ||
		    json_array_size(order.authorizations) == 0)
			abort();
		json_decref(order.authorizations);
	}
	if (message_read_authorization(&authorization, s, NULL) == 0)
		for (size_t i = 0; i < CHALLENGE_TYPES; i++)
			if (authorization.challenges[i].offered &&
			    !message_nonce_ok(str_from(authorization.challenges[i].token)))
				abort();
	json_decref(problem_subproblems(s));
	problem_from_answer(&problem, 400, s, RETRY_AFTER_NONE);
	if (!problem_is_set(&problem) ||
	    !verdict(&(struct signal){.problem = &problem, .new_order = size % 2}))
		abort();
	if (retry_after_parse(s, 784111777, &ms, NULL) == 0 && ms < 0)
		abort();
	if (url_gate(s, false, NULL) == 0 && url_gate(s, true, NULL) != 0)
		abort();
	return 0;
}
