/* The sealed file of the disk cache: its bytes, one file at a time. Format version 1:
 *
 *     header: "CARDEADP" | version u32 | node id (36) | salt (32) | epoch length u32 | epoch
 *     chunk:  length u32 | nonce (12) | AES-256-GCM(records) | tag (16)        repeated
 *     record: type u8 (1 change, 2 commit) | length u32 | bytes    whole records per chunk
 *
 * Numbers are big endian. The file's key is HKDF-SHA256 of the node's cache key and the salt; the
 * associated data of a chunk are the header's SHA-256 and the chunk's number, so that nothing can
 * be changed, moved, left out or taken from another file. A commit ends its chunk: the file is good
 * up to the last whole commit. Plain synchronous I/O. Thread: one at a time per file.
 */
#ifndef CARDEA_SYNC_CACHE_FILE_H
#define CARDEA_SYNC_CACHE_FILE_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/core/err.h"
#include "common/core/str.h"
#include "data-plane/sync/decode.h"

enum {
	CACHE_KEY_SIZE = 32,
	CACHE_NODE_ID_SIZE = 36,
	CACHE_DIGEST_SIZE = 32,
	CACHE_CHUNK = 64 << 10,	   /* a chunk is closed when it has so many bytes */
	CACHE_CHUNK_MAX = 8 << 20, /* one record may be as large as a stream message */
};

struct cache_id {
	unsigned char key[CACHE_KEY_SIZE];
	char node_id[CACHE_NODE_ID_SIZE + 1];
};

enum cache_record { CACHE_CHANGE = 1, CACHE_COMMIT = 2 };

struct cache_file {
	int fd;					 /* read; -1: none */
	uint64_t size;				 /* read: bytes of header and whole chunks */
	uint64_t chunks;			 /* private: number of the next chunk */
	uint64_t committed_size;		 /* read: size after the last commit; 0: none */
	uint64_t committed_chunks;		 /* private */
	char epoch[EPOCH_MAX + 1];		 /* read */
	unsigned char digest[CACHE_DIGEST_SIZE]; /* private: of the header */
	EVP_CIPHER_CTX *cipher;			 /* private */
	unsigned char key[CACHE_KEY_SIZE];	 /* private: of this file */
	struct buf chunk;			 /* private: records not yet sealed; secret */
	struct buf sealed;			 /* private */
};

/* Makes the file (replacing what is there, mode 0600) and writes the header. */
int cache_file_create(struct cache_file *f, const char *path, const struct cache_id *id,
		      struct str epoch, struct err *e) must_check;
/* Opens for reading and appending. ERR_NOT_FOUND: no such file; ERR_INVALID: not a cache, another
 * format, another node's. */
int cache_file_open(struct cache_file *f, const char *path, const struct cache_id *id,
		    struct err *e) must_check;
/* The same with a descriptor, which is closed with the file or on error. */
int cache_file_attach(struct cache_file *f, int fd, const struct cache_id *id,
		      struct err *e) must_check;
/* Closes, cleanses. Records that were not sealed are dropped. */
void cache_file_close(struct cache_file *f);

/* Adds a record; seals and writes when the chunk is large enough or the record is a commit. */
int cache_file_add(struct cache_file *f, enum cache_record type, struct str bytes,
		   struct err *e) must_check;
/* Cuts off everything behind the last commit (the header stays). */
int cache_file_rollback(struct cache_file *f, struct err *e) must_check;

/* Reads on from where the file was read to (from the first chunk after opening) to the end, or to
 * `limit` bytes when it is not 0, and calls fn for each record; bytes live during the call. Stops
 * at the first chunk that is cut off or does not open: ERR_INVALID; size says how far it was good.
 * After success the file can be appended to, after an error when it was rolled back. fn's error is
 * passed on. During fn, size is the end of the record's chunk. */
int cache_file_read(struct cache_file *f, uint64_t limit,
		    int (*fn)(enum cache_record type, struct str bytes, void *arg, struct err *e),
		    void *arg, struct err *e) must_check;
/* The next read begins at the first chunk again. */
void cache_file_rewind(struct cache_file *f);
/* Cuts bytes into records. ERR_INVALID names what is wrong. Pure. */
int cache_records(struct str bytes,
		  int (*fn)(enum cache_record type, struct str bytes, void *arg, struct err *e),
		  void *arg, struct err *e) must_check;
/* Appends one record; out is unchanged on error. */
int cache_record_put(struct buf *out, enum cache_record type, struct str bytes,
		     struct err *e) must_check;

/* A commit record's content is the revision as 8 bytes. */
void cache_revision_put(unsigned char out[8], uint64_t revision);
int cache_revision_get(struct str bytes, uint64_t *revision, struct err *e) must_check;

#endif
