#include "common/pki/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/core/codec.h"

enum {
	KEY_SIZE = 32,
	KEYS_MAX = 64,
	NONCE_SIZE = 12,
	TAG_SIZE = 16,
	ID_AT = 2,
	HEADER_SIZE = 6, /* "C1" and the key id */
	WRAP_AT = HEADER_SIZE + NONCE_SIZE,
	DATA_NONCE_AT = WRAP_AT + KEY_SIZE + TAG_SIZE,
	DATA_AT = DATA_NONCE_AT + NONCE_SIZE,
	OVERHEAD = DATA_AT + TAG_SIZE,
	FILE_MAX = 64 * 1024,
	SEALED_MAX = 16 << 20,
};

struct keyring {
	size_t count;
	uint32_t ids[KEYS_MAX];
	unsigned char keys[KEYS_MAX][KEY_SIZE]; /* the last one is active */
};

static const unsigned char *find_key(const struct keyring *k, uint32_t id)
{
	for (size_t i = 0; i < k->count; i++)
		if (k->ids[i] == id)
			return k->keys[i];
	return NULL;
}

/* `<id> <64 hex digits>`. Messages never show the line. */
static int parse_line(struct keyring *k, struct str line, struct err *e)
{
	struct buf key = BUF_INIT;
	size_t space = str_find(line, ' ', 0);
	struct str hex = str_trim(str_sub(line, space, line.len));
	uint64_t id;
	int result = -1;

	key.secret = true;
	if (str_u64(str_sub(line, 0, space), &id) < 0 || id == 0 || id > UINT32_MAX)
		return err_set(e, ERR_INVALID, "expected `<id> <64 hex digits>`, id from 1 to %u",
			       UINT32_MAX);
	if (find_key(k, (uint32_t)id))
		return err_set(e, ERR_INVALID, "key id %u stands twice", (unsigned)id);
	if (k->count == KEYS_MAX)
		return err_set(e, ERR_LIMIT, "more than %d keys", KEYS_MAX);
	if (hex.len != (size_t)KEY_SIZE * 2 || hex_decode(&key, hex, NULL) < 0) {
		err_set(e, ERR_INVALID, "key %u is not 64 hex digits", (unsigned)id);
	} else {
		k->ids[k->count] = (uint32_t)id;
		memcpy(k->keys[k->count++], key.data, KEY_SIZE);
		result = 0;
	}
	buf_deinit(&key);
	return result;
}

static int parse_lines(struct keyring *k, struct str text, struct err *e)
{
	struct str line;

	for (size_t number = 1; str_split(&text, '\n', &line); number++) {
		if (line.len > 0 && line.ptr[line.len - 1] == '\r')
			line.len--;
		line = str_trim(line);
		if (line.len == 0 || line.ptr[0] == '#')
			continue;
		if (parse_line(k, line, e) < 0)
			return err_prefix(e, "line %zu", number);
	}
	return k->count > 0 ? 0 : err_set(e, ERR_INVALID, "no key");
}

int keyring_from_text(struct keyring **out, struct str text, struct err *e)
{
	struct keyring *k = OPENSSL_secure_zalloc(sizeof(*k));

	if (!k)
		return err_memory(e, "keyring");
	if (parse_lines(k, text, e) < 0) {
		keyring_free(k);
		return err_prefix(e, "keyring");
	}
	*out = k;
	return 0;
}

void keyring_free(struct keyring *k)
{
	OPENSSL_secure_clear_free(k, sizeof(*k));
}

static int check_mode(int fd, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_errno(e, ERR_INTERNAL, errno, "cannot stat");
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_INVALID, "not a regular file");
	if (st.st_mode & 0177)
		return err_set(e, ERR_DENIED, "mode %04o; 0400 or 0600 is required",
			       (unsigned)st.st_mode & 07777U);
	if (st.st_size > FILE_MAX)
		return err_set(e, ERR_LIMIT, "larger than %d bytes", FILE_MAX);
	return 0;
}

static int read_all(int fd, struct buf *out, struct err *e)
{
	ssize_t n;

	do {
		if (buf_reserve(out, 4096, e) < 0)
			return -1;
		n = read(fd, out->data + out->len, 4096);
		if (n > 0)
			out->len += (size_t)n;
	} while (n > 0 || (n < 0 && errno == EINTR));
	return n < 0 ? err_errno(e, ERR_INTERNAL, errno, "cannot read") : 0;
}

int keyring_load(struct keyring **out, const char *file, struct err *e)
{
	struct buf text;
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	int result = -1;

	if (fd < 0)
		return err_errno(e, ERR_NOT_FOUND, errno, "keyring %s", file);
	buf_init(&text, (size_t)FILE_MAX + 8192);
	text.secret = true;
	if (check_mode(fd, e) == 0 && read_all(fd, &text, e) == 0)
		result = keyring_from_text(out, buf_str(&text), e);
	buf_deinit(&text);
	close(fd);
	return result < 0 ? err_prefix(e, "%s", file) : 0;
}

/* One AES-256-GCM operation with the header and the context as associated data. The tag follows the
 * ciphertext: written when sealing, checked when opening. */
struct gcm {
	const unsigned char *key, *nonce;
	const unsigned char *header;
	struct str context;
};

static bool gcm_start(EVP_CIPHER_CTX *ctx, const struct gcm *g, int encrypt)
{
	int n;

	return EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, g->key, g->nonce, encrypt) == 1 &&
	       EVP_CipherUpdate(ctx, NULL, &n, g->header, HEADER_SIZE) == 1 &&
	       (g->context.len == 0 ||
		EVP_CipherUpdate(ctx, NULL, &n, (const unsigned char *)g->context.ptr,
				 (int)g->context.len) == 1);
}

static bool gcm_seal(const struct gcm *g, const unsigned char *in, size_t len, unsigned char *out)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int n;
	bool ok = ctx && gcm_start(ctx, g, 1) &&
		  (len == 0 || EVP_CipherUpdate(ctx, out, &n, in, (int)len) == 1) &&
		  EVP_CipherFinal_ex(ctx, out + len, &n) == 1 &&
		  EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG_SIZE, out + len) == 1;

	EVP_CIPHER_CTX_free(ctx);
	return ok;
}

static bool gcm_open(const struct gcm *g, const unsigned char *in, size_t len, unsigned char *out)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	unsigned char tag[TAG_SIZE];
	int n;
	bool ok;

	memcpy(tag, in + len, TAG_SIZE);
	ok = ctx && gcm_start(ctx, g, 0) &&
	     (len == 0 || EVP_CipherUpdate(ctx, out, &n, in, (int)len) == 1) &&
	     EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG_SIZE, tag) == 1 &&
	     EVP_CipherFinal_ex(ctx, out + len, &n) == 1;
	EVP_CIPHER_CTX_free(ctx);
	return ok;
}

int seal(const struct keyring *k, struct str context, struct str plain, struct buf *out,
	 struct err *e)
{
	uint32_t id = k->ids[k->count - 1];
	unsigned char data_key[KEY_SIZE];
	unsigned char *p;
	bool ok;

	if (plain.len > SEALED_MAX || context.len > SEALED_MAX)
		return err_set(e, ERR_LIMIT, "too long to seal");
	if (buf_reserve(out, plain.len + OVERHEAD, e) < 0)
		return err_prefix(e, "sealing");
	p = (unsigned char *)out->data + out->len;
	memcpy(p, "C1", 2);
	for (int i = 0; i < 4; i++)
		p[ID_AT + i] = (unsigned char)(id >> (24 - 8 * i) & 0xff);
	ok = RAND_priv_bytes(data_key, KEY_SIZE) == 1 &&
	     RAND_bytes(p + HEADER_SIZE, NONCE_SIZE) == 1 &&
	     RAND_bytes(p + DATA_NONCE_AT, NONCE_SIZE) == 1 &&
	     gcm_seal(&(struct gcm){k->keys[k->count - 1], p + HEADER_SIZE, p, context}, data_key,
		      KEY_SIZE, p + WRAP_AT) &&
	     gcm_seal(&(struct gcm){data_key, p + DATA_NONCE_AT, p, context},
		      (const unsigned char *)plain.ptr, plain.len, p + DATA_AT);
	OPENSSL_cleanse(data_key, sizeof(data_key));
	if (!ok)
		return err_openssl(e, ERR_INTERNAL, "cannot seal");
	out->len += plain.len + OVERHEAD;
	out->data[out->len] = '\0';
	return 0;
}

static uint32_t id_of(const unsigned char *sealed)
{
	return (uint32_t)sealed[ID_AT] << 24 | (uint32_t)sealed[ID_AT + 1] << 16 |
	       (uint32_t)sealed[ID_AT + 2] << 8 | (uint32_t)sealed[ID_AT + 3];
}

int unseal(const struct keyring *k, struct str context, struct str sealed, struct buf *out,
	   struct err *e)
{
	const unsigned char *p = (const unsigned char *)sealed.ptr;
	const unsigned char *key;
	unsigned char data_key[KEY_SIZE];
	size_t len;
	bool ok;

	if (!str_starts(sealed, STR("C1")) || sealed.len < OVERHEAD ||
	    sealed.len > (size_t)SEALED_MAX + OVERHEAD || context.len > SEALED_MAX)
		return err_set(e, ERR_INVALID, "not a sealed secret");
	len = sealed.len - OVERHEAD;
	key = find_key(k, id_of(p));
	if (!key)
		return err_set(e, ERR_NOT_FOUND, "key-encryption key %u is not in the keyring",
			       id_of(p));
	if (buf_reserve(out, len + TAG_SIZE, e) < 0)
		return err_prefix(e, "unsealing");
	ok = gcm_open(&(struct gcm){key, p + HEADER_SIZE, p, context}, p + WRAP_AT, KEY_SIZE,
		      data_key) &&
	     gcm_open(&(struct gcm){data_key, p + DATA_NONCE_AT, p, context}, p + DATA_AT, len,
		      (unsigned char *)out->data + out->len);
	OPENSSL_cleanse(data_key, sizeof(data_key));
	if (!ok) {
		OPENSSL_cleanse(out->data + out->len, len);
		return err_set(
			e, ERR_DENIED,
			"a sealed secret does not open: it was changed or is in the wrong place");
	}
	out->len += len;
	out->data[out->len] = '\0';
	return 0;
}
