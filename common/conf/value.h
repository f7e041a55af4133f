/* One configuration value: text to its field and back, by type. Thread: any. */
#ifndef CARDEA_CONF_VALUE_H
#define CARDEA_CONF_VALUE_H

#include "common/conf/conf.h"

/* Replaces the field of *target with the value of the text. ERR_INVALID says what is allowed and,
 * but for secrets, shows the text; the field keeps what it had. */
int conf_value_set(const struct conf_key *key, void *target, struct str text,
		   struct err *e) must_check;
/* Frees (cleansing secrets) and zeroes the field. */
void conf_value_free(const struct conf_key *key, void *target);

#endif
