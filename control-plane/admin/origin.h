/* What pages of other origins may do with the admin API (CORS). With authentication off as Kong has
 * it: everything. With it on: only what admin_gui_origin lists, because a browser sends its client
 * certificate along for any page. Pure. Thread: any. */
#ifndef CARDEA_ADMIN_ORIGIN_H
#define CARDEA_ADMIN_ORIGIN_H

#include "common/http/msg.h"

/* Value of Access-Control-Allow-Origin. configured: origins separated by commas, or NULL. origin:
 * of the request, or STR_NONE. STR_NONE: the header is left out, and Allow-Credentials with it. */
struct str origin_allowed(const char *configured, bool auth, struct str origin);
/* Whether a request that is known by its client certificate alone was made by a page that may: no
 * browser (no Origin), the API's own origin, or one that is configured. */
bool origin_trusted(const char *configured, const struct http_request *q);

#endif
