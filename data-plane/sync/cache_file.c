#include "data-plane/sync/cache_file.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char magic[8] = {'C', 'A', 'R', 'D', 'E', 'A', 'D', 'P'};

enum {
	FORMAT = 1,
	SALT_SIZE = 32,
	NONCE_SIZE = 12,
	TAG_SIZE = 16,
	HEADER_FIXED = sizeof(magic) + 4 + CACHE_NODE_ID_SIZE + SALT_SIZE + 4,
	HEADER_MAX = HEADER_FIXED + EPOCH_MAX,
	CHUNK_HEAD = 4 + NONCE_SIZE,
	RECORD_HEAD = 5,
	AAD_SIZE = CACHE_DIGEST_SIZE + 8,
};

static void put_u32(unsigned char *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (unsigned char)(v >> (24 - 8 * i));
}

static uint32_t get_u32(const unsigned char *p)
{
	return ((uint32_t)p[0] << 24) | ((uint32_t)p[1] << 16) | ((uint32_t)p[2] << 8) | p[3];
}

void cache_revision_put(unsigned char out[8], uint64_t revision)
{
	put_u32(out, (uint32_t)(revision >> 32));
	put_u32(out + 4, (uint32_t)revision);
}

int cache_revision_get(struct str bytes, uint64_t *revision, struct err *e)
{
	const unsigned char *p = (const unsigned char *)bytes.ptr;

	if (bytes.len != 8)
		return err_set(e, ERR_INVALID, "commit record of %zu bytes", bytes.len);
	*revision = ((uint64_t)get_u32(p) << 32) | get_u32(p + 4);
	return 0;
}

/* --- plain I/O --- */

static int write_all(int fd, const void *bytes, size_t n, uint64_t offset, struct err *e)
{
	const char *p = bytes;

	while (n > 0) {
		ssize_t done = pwrite(fd, p, n, (off_t)offset);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return err_errno(e, ERR_UNAVAILABLE, done < 0 ? errno : ENOSPC,
					 "cache cannot be written");
		p += done;
		n -= (size_t)done;
		offset += (uint64_t)done;
	}
	return 0;
}

/* How many bytes there are up to n; *e is set when reading failed. */
static int read_some(int fd, void *out, size_t n, uint64_t offset, size_t *got, struct err *e)
{
	size_t at = 0;

	while (at < n) {
		ssize_t done = pread(fd, (char *)out + at, n - at, (off_t)(offset + at));

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return err_errno(e, ERR_UNAVAILABLE, errno, "cache cannot be read");
		if (done == 0)
			break;
		at += (size_t)done;
	}
	*got = at;
	return 0;
}

/* --- header --- */

static int file_key(struct cache_file *f, const struct cache_id *id, const unsigned char *salt,
		    struct err *e)
{
	static const char info[] = "cardea data plane cache";
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL);
	size_t n = CACHE_KEY_SIZE;
	int ok = c && EVP_PKEY_derive_init(c) == 1 &&
		 EVP_PKEY_CTX_set_hkdf_md(c, EVP_sha256()) == 1 &&
		 EVP_PKEY_CTX_set1_hkdf_salt(c, salt, SALT_SIZE) == 1 &&
		 EVP_PKEY_CTX_set1_hkdf_key(c, id->key, CACHE_KEY_SIZE) == 1 &&
		 EVP_PKEY_CTX_add1_hkdf_info(c, (const unsigned char *)info, sizeof(info) - 1) ==
			 1 &&
		 EVP_PKEY_derive(c, f->key, &n) == 1;

	EVP_PKEY_CTX_free(c);
	return ok ? 0 : err_openssl(e, ERR_INTERNAL, "cache key cannot be derived");
}

static int file_init(struct cache_file *f, const struct cache_id *id, const unsigned char *header,
		     size_t n, struct err *e)
{
	const unsigned char *salt = header + sizeof(magic) + 4 + CACHE_NODE_ID_SIZE;

	buf_init(&f->chunk, CACHE_CHUNK_MAX);
	buf_init(&f->sealed, CACHE_CHUNK_MAX + CHUNK_HEAD + TAG_SIZE);
	f->chunk.secret = true;
	SHA256(header, n, f->digest);
	f->size = n;
	f->cipher = EVP_CIPHER_CTX_new();
	if (!f->cipher)
		return err_memory(e, "opening the cache");
	return file_key(f, id, salt, e);
}

int cache_file_create(struct cache_file *f, const char *path, const struct cache_id *id,
		      struct str epoch, struct err *e)
{
	unsigned char header[HEADER_MAX];
	unsigned char *p = header;

	*f = (struct cache_file){.fd = -1};
	if (epoch.len == 0 || epoch.len > EPOCH_MAX)
		return err_set(e, ERR_INVALID, "epoch of %zu bytes", epoch.len);
	memcpy(p, magic, sizeof(magic));
	p += sizeof(magic);
	put_u32(p, FORMAT);
	p += 4;
	memcpy(p, id->node_id, CACHE_NODE_ID_SIZE);
	p += CACHE_NODE_ID_SIZE;
	if (RAND_bytes(p, SALT_SIZE) != 1)
		return err_openssl(e, ERR_INTERNAL, "no random salt for the cache");
	p += SALT_SIZE;
	put_u32(p, (uint32_t)epoch.len);
	p += 4;
	memcpy(p, epoch.ptr, epoch.len);
	p += epoch.len;
	memcpy(f->epoch, epoch.ptr, epoch.len);
	f->fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (f->fd < 0)
		return err_errno(e, ERR_UNAVAILABLE, errno, "cache %s cannot be made", path);
	if (file_init(f, id, header, (size_t)(p - header), e) == 0 &&
	    write_all(f->fd, header, (size_t)(p - header), 0, e) == 0)
		return 0;
	cache_file_close(f);
	return -1;
}

static int header_check(struct cache_file *f, const struct cache_id *id,
			const unsigned char *header, size_t got, size_t *size, struct err *e)
{
	const unsigned char *node = header + sizeof(magic) + 4;
	uint32_t format, epoch;

	if (got < HEADER_FIXED || memcmp(header, magic, sizeof(magic)) != 0)
		return err_set(e, ERR_INVALID, "not a cache of cardea-dp");
	format = get_u32(header + sizeof(magic));
	if (format != FORMAT)
		return err_set(e, ERR_INVALID, "cache has format %u, this version reads %d",
			       (unsigned)format, FORMAT);
	if (memcmp(node, id->node_id, CACHE_NODE_ID_SIZE) != 0)
		return err_set(e, ERR_INVALID, "cache belongs to another node");
	epoch = get_u32(header + HEADER_FIXED - 4);
	if (epoch == 0 || epoch > EPOCH_MAX || got < HEADER_FIXED + epoch)
		return err_set(e, ERR_INVALID, "cache header is damaged");
	memcpy(f->epoch, header + HEADER_FIXED, epoch);
	*size = HEADER_FIXED + epoch;
	return 0;
}

int cache_file_open(struct cache_file *f, const char *path, const struct cache_id *id,
		    struct err *e)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	*f = (struct cache_file){.fd = -1};
	if (fd < 0)
		return err_errno(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_UNAVAILABLE, errno,
				 "cache %s", path);
	return cache_file_attach(f, fd, id, e);
}

int cache_file_attach(struct cache_file *f, int fd, const struct cache_id *id, struct err *e)
{
	unsigned char header[HEADER_MAX];
	size_t got, size = 0;

	*f = (struct cache_file){.fd = fd};
	if (read_some(f->fd, header, sizeof(header), 0, &got, e) == 0 &&
	    header_check(f, id, header, got, &size, e) == 0 &&
	    file_init(f, id, header, size, e) == 0)
		return 0;
	cache_file_close(f);
	return -1;
}

void cache_file_close(struct cache_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	EVP_CIPHER_CTX_free(f->cipher);
	buf_deinit(&f->chunk);
	buf_deinit(&f->sealed);
	OPENSSL_cleanse(f->key, sizeof(f->key));
	*f = (struct cache_file){.fd = -1};
}

/* --- chunks --- */

static void aad_of(const struct cache_file *f, uint64_t number, unsigned char out[AAD_SIZE])
{
	memcpy(out, f->digest, CACHE_DIGEST_SIZE);
	cache_revision_put(out + CACHE_DIGEST_SIZE, number);
}

/* length | nonce | ciphertext | tag of `plain` into f->sealed. */
static int seal_chunk(struct cache_file *f, struct str plain, struct err *e)
{
	unsigned char aad[AAD_SIZE];
	unsigned char *out;
	int n;

	buf_clear(&f->sealed);
	if (buf_reserve(&f->sealed, CHUNK_HEAD + plain.len + TAG_SIZE, e) != 0)
		return -1;
	out = (unsigned char *)f->sealed.data;
	put_u32(out, (uint32_t)plain.len);
	if (RAND_bytes(out + 4, NONCE_SIZE) != 1)
		return err_openssl(e, ERR_INTERNAL, "no random nonce for the cache");
	aad_of(f, f->chunks, aad);
	if (EVP_EncryptInit_ex(f->cipher, EVP_aes_256_gcm(), NULL, f->key, out + 4) != 1 ||
	    EVP_EncryptUpdate(f->cipher, NULL, &n, aad, AAD_SIZE) != 1 ||
	    EVP_EncryptUpdate(f->cipher, out + CHUNK_HEAD, &n, (const unsigned char *)plain.ptr,
			      (int)plain.len) != 1 ||
	    EVP_EncryptFinal_ex(f->cipher, out + CHUNK_HEAD + n, &n) != 1 ||
	    EVP_CIPHER_CTX_ctrl(f->cipher, EVP_CTRL_GCM_GET_TAG, TAG_SIZE,
				out + CHUNK_HEAD + plain.len) != 1)
		return err_openssl(e, ERR_INTERNAL, "cache cannot be sealed");
	f->sealed.len = CHUNK_HEAD + plain.len + TAG_SIZE;
	return 0;
}

static int flush(struct cache_file *f, struct err *e)
{
	if (seal_chunk(f, buf_str(&f->chunk), e) != 0 ||
	    write_all(f->fd, f->sealed.data, f->sealed.len, f->size, e) != 0)
		return -1;
	f->size += f->sealed.len;
	f->chunks++;
	if (f->chunk.data)
		OPENSSL_cleanse(f->chunk.data, f->chunk.len);
	buf_clear(&f->chunk);
	return 0;
}

int cache_file_add(struct cache_file *f, enum cache_record type, struct str bytes, struct err *e)
{
	if (cache_record_put(&f->chunk, type, bytes, e) != 0)
		return -1;
	if (type != CACHE_COMMIT && f->chunk.len < CACHE_CHUNK)
		return 0;
	if (flush(f, e) != 0)
		return -1;
	if (type == CACHE_COMMIT) {
		f->committed_size = f->size;
		f->committed_chunks = f->chunks;
	}
	return 0;
}

int cache_file_rollback(struct cache_file *f, struct err *e)
{
	buf_clear(&f->chunk);
	if (f->committed_size == 0)
		return err_set(e, ERR_INVALID, "cache holds no whole revision");
	f->size = f->committed_size;
	f->chunks = f->committed_chunks;
	if (ftruncate(f->fd, (off_t)f->size) != 0)
		return err_errno(e, ERR_UNAVAILABLE, errno, "cache cannot be cut");
	return 0;
}

/* Reads and opens the chunk at offset into f->chunk. *size is 0 at the end of the file. */
static int open_chunk(struct cache_file *f, uint64_t offset, uint64_t number, size_t *size,
		      struct err *e)
{
	unsigned char head[CHUNK_HEAD], aad[AAD_SIZE];
	const unsigned char *in;
	size_t got, len;
	int n;

	if (read_some(f->fd, head, sizeof(head), offset, &got, e) != 0)
		return -1;
	*size = 0;
	if (got == 0)
		return 0;
	len = get_u32(head);
	if (got < sizeof(head) || len == 0 || len > CACHE_CHUNK_MAX)
		return err_set(e, ERR_INVALID, "cache is cut off or damaged at chunk %llu",
			       (unsigned long long)number);
	buf_clear(&f->sealed);
	buf_clear(&f->chunk);
	if (buf_reserve(&f->sealed, len + TAG_SIZE, e) != 0 ||
	    buf_reserve(&f->chunk, len, e) != 0 ||
	    read_some(f->fd, f->sealed.data, len + TAG_SIZE, offset + CHUNK_HEAD, &got, e) != 0)
		return -1;
	aad_of(f, number, aad);
	in = (const unsigned char *)f->sealed.data;
	if (got < len + TAG_SIZE ||
	    EVP_DecryptInit_ex(f->cipher, EVP_aes_256_gcm(), NULL, f->key, head + 4) != 1 ||
	    EVP_DecryptUpdate(f->cipher, NULL, &n, aad, AAD_SIZE) != 1 ||
	    EVP_DecryptUpdate(f->cipher, (unsigned char *)f->chunk.data, &n, in, (int)len) != 1 ||
	    EVP_CIPHER_CTX_ctrl(f->cipher, EVP_CTRL_GCM_SET_TAG, TAG_SIZE, f->sealed.data + len) !=
		    1 ||
	    EVP_DecryptFinal_ex(f->cipher, (unsigned char *)f->chunk.data + n, &n) != 1) {
		OPENSSL_cleanse(f->chunk.data, len);
		return err_set(e, ERR_INVALID, "cache is cut off or damaged at chunk %llu",
			       (unsigned long long)number);
	}
	f->chunk.len = len;
	*size = CHUNK_HEAD + len + TAG_SIZE;
	return 0;
}

int cache_records(struct str bytes,
		  int (*fn)(enum cache_record type, struct str bytes, void *arg, struct err *e),
		  void *arg, struct err *e)
{
	while (bytes.len > 0) {
		const unsigned char *p = (const unsigned char *)bytes.ptr;
		size_t len;

		if (bytes.len < RECORD_HEAD)
			return err_set(e, ERR_INVALID, "cache record is cut off");
		len = get_u32(p + 1);
		if (p[0] != CACHE_CHANGE && p[0] != CACHE_COMMIT)
			return err_set(e, ERR_INVALID, "cache record of unknown type %u", p[0]);
		if (len > bytes.len - RECORD_HEAD)
			return err_set(e, ERR_INVALID, "cache record is cut off");
		if (fn((enum cache_record)p[0], (struct str){bytes.ptr + RECORD_HEAD, len}, arg,
		       e) != 0)
			return -1;
		bytes = str_sub(bytes, RECORD_HEAD + len, bytes.len);
	}
	return 0;
}

int cache_record_put(struct buf *out, enum cache_record type, struct str bytes, struct err *e)
{
	unsigned char head[RECORD_HEAD];

	if (bytes.len > CACHE_CHUNK_MAX - CACHE_CHUNK - 2 * RECORD_HEAD)
		return err_set(e, ERR_LIMIT, "entity of %zu bytes is too large for the cache",
			       bytes.len);
	head[0] = (unsigned char)type;
	put_u32(head + 1, (uint32_t)bytes.len);
	if (buf_reserve(out, sizeof(head) + bytes.len, e) != 0 ||
	    buf_add(out, head, sizeof(head), e) != 0)
		return -1;
	return buf_add_str(out, bytes, e);
}

struct reading {
	int (*fn)(enum cache_record type, struct str bytes, void *arg, struct err *e);
	void *arg;
	bool commit;
};

static int read_record(enum cache_record type, struct str bytes, void *arg, struct err *e)
{
	struct reading *r = arg;

	r->commit = type == CACHE_COMMIT;
	return r->fn(type, bytes, r->arg, e);
}

/* One chunk at the end of what was read. *more is false at the end of the file. */
static int read_chunk(struct cache_file *f, struct reading *r, bool *more, struct err *e)
{
	size_t size;

	if (open_chunk(f, f->size, f->chunks, &size, e) != 0)
		return -1;
	*more = size != 0;
	if (size == 0)
		return 0;
	f->size += size; /* before the records, so that fn can look at it */
	f->chunks++;
	if (cache_records(buf_str(&f->chunk), read_record, r, e) != 0) {
		f->size -= size;
		f->chunks--;
		return -1;
	}
	if (r->commit) {
		f->committed_size = f->size;
		f->committed_chunks = f->chunks;
	}
	return 0;
}

int cache_file_read(struct cache_file *f, uint64_t limit,
		    int (*fn)(enum cache_record type, struct str bytes, void *arg, struct err *e),
		    void *arg, struct err *e)
{
	struct reading r = {fn, arg, false};
	bool more = true;
	int rc = 0;

	while (rc == 0 && more && (limit == 0 || f->size < limit))
		rc = read_chunk(f, &r, &more, e);
	if (f->chunk.data)
		OPENSSL_cleanse(f->chunk.data, f->chunk.len);
	buf_clear(&f->chunk);
	return rc;
}

void cache_file_rewind(struct cache_file *f)
{
	f->size = HEADER_FIXED + strlen(f->epoch);
	f->chunks = 0;
}
