/* Memory of JSON values, which carry private keys and passwords: cleansed before it is freed. */
#ifndef CARDEA_STORE_JSON_MEMORY_H
#define CARDEA_STORE_JSON_MEMORY_H

/* From now on jansson cleanses what it frees. Thread: main, before the first JSON value is made. */
void json_memory_setup(void);

#endif
