#include "control-plane/acme/ids.h"

int ids_add(struct buf *out, const char *id, struct err *e)
{
	return buf_addf(out, e, "%c%s", out->len > 0 ? ',' : '{', id);
}

int ids_end(struct buf *out, struct err *e)
{
	return buf_add_str(out, out->len > 0 ? STR("}") : STR("{}"), e);
}
