#include "data-plane/proxy/request_id.h"

#include <openssl/rand.h>

int request_ids_init(struct request_ids *p, struct err *e)
{
	p->used = 0;
	if (RAND_bytes(p->bytes, sizeof(p->bytes)) != 1)
		return err_openssl(e, ERR_INTERNAL, "no random request ids");
	return 0;
}

void request_ids_next(struct request_ids *p, char out[REQUEST_ID_TEXT + 1])
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *b;

	if (p->used == sizeof(p->bytes)) {
		(void)RAND_bytes(p->bytes, sizeof(p->bytes));
		p->used = 0;
	}
	b = p->bytes + p->used;
	p->used += REQUEST_ID_BYTES;
	for (size_t i = 0; i < REQUEST_ID_BYTES; i++) {
		out[2 * i] = digits[b[i] >> 4];
		out[2 * i + 1] = digits[b[i] & 15];
	}
	out[REQUEST_ID_TEXT] = '\0';
}
