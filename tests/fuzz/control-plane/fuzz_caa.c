/* CAA records as a name server gives them, and what they allow. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "control-plane/acme/caa.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct caa_issuer ca = {"ca.example", "https://ca.example/1", "http-01"};
	const struct caa_issuer nobody = {"", NULL, "http-01"};
	struct caa c = {.count = 0};
	struct buf text = BUF_INIT;

	if (caa_read(&c, data, size, NULL) == 0) {
		if (c.count > CAA_RECORDS_MAX)
			abort();
		/* Who has no name is not named. */
		if (caa_allows(&c, &nobody) && !caa_allows(&c, &ca))
			abort();
		if (caa_text(&c, &text, NULL) != 0 || (c.count > 0 && text.len == 0))
			abort();
	}
	buf_deinit(&text);
	return 0;
}
