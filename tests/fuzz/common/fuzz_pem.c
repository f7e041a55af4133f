/* Any bytes as PEM text; what is accepted must come back the same when written and read again. */
#include <stdlib.h>

#include "common/pki/pem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_round_trip(const struct pem_block *block)
{
	struct buf text = BUF_INIT;
	struct pem_blocks again;

	if (pem_write(&text, block->label, buf_str(&block->der), NULL) < 0 ||
	    pem_parse(&again, buf_str(&text), NULL) < 0)
		abort();
	if (again.count != 1 || !str_eq(buf_str(&again.items[0].der), buf_str(&block->der)))
		abort();
	pem_free(&again);
	buf_deinit(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pem_blocks blocks;
	struct err e = ERR_INIT;

	if (pem_parse(&blocks, (struct str){(const char *)data, size}, &e) < 0)
		return 0;
	/* a block as long as the limit does not fit when text around it is gone, so keep it small
	 */
	for (size_t i = 0; size < PEM_TEXT_MAX / 2 && i < blocks.count; i++)
		check_round_trip(&blocks.items[i]);
	pem_free(&blocks);
	return 0;
}
