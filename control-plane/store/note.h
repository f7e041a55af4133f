/* Audit notes as the parameter of cardea_note. Private to control-plane/store/. Thread: any. */
#ifndef CARDEA_STORE_NOTE_H
#define CARDEA_STORE_NOTE_H

#include "common/core/arena.h"
#include "control-plane/store/store.h"

enum { NOTE_TEXT_MAX = 512 }; /* bytes of one text; what is longer is cut */

/* JSON text in the arena. Bytes that are no UTF-8, and control characters, become "?". NULL: out of
 * memory, in e. */
const char *note_encode(const struct store_note *n, struct arena *a, struct err *e);

#endif
