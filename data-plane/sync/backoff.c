#include "data-plane/sync/backoff.h"

#include <openssl/rand.h>

uint64_t backoff_ms(unsigned failures)
{
	uint64_t most = BACKOFF_BASE_MS;
	uint32_t random = 0;

	for (unsigned i = 0; i < failures && most < BACKOFF_CAP_MS; i++)
		most *= 2;
	most = most < BACKOFF_CAP_MS ? most : BACKOFF_CAP_MS;
	if (RAND_bytes((unsigned char *)&random, sizeof(random)) != 1)
		return most;
	return random % (most + 1);
}
