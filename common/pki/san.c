#include "common/pki/san.h"

#include <arpa/inet.h>

enum { NAME_MAX_LEN = 255, IP_TEXT_SIZE = 64 };

static int ip_bytes(struct str text, unsigned char out[16])
{
	char copy[IP_TEXT_SIZE];

	if (text.len >= sizeof(copy) || text.len == 0)
		return 0;
	memcpy(copy, text.ptr, text.len);
	copy[text.len] = '\0';
	if (inet_pton(AF_INET, copy, out) == 1)
		return 4;
	return inet_pton(AF_INET6, copy, out) == 1 ? 16 : 0;
}

bool san_is_ip(struct str text)
{
	unsigned char bytes[16];

	return ip_bytes(text, bytes) > 0;
}

static bool printable(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] <= ' ' || s.ptr[i] > '~')
			return false;
	return true;
}

/* Wraps bytes as a name of the given kind; NULL when out of memory. */
static GENERAL_NAME *make(int kind, const void *bytes, int len)
{
	ASN1_STRING *value =
		ASN1_STRING_type_new(kind == GEN_DNS ? V_ASN1_IA5STRING : V_ASN1_OCTET_STRING);
	GENERAL_NAME *name = GENERAL_NAME_new();

	if (!value || !name || ASN1_STRING_set(value, bytes, len) != 1) {
		ASN1_STRING_free(value);
		GENERAL_NAME_free(name);
		return NULL;
	}
	GENERAL_NAME_set0_value(name, kind, value);
	return name;
}

int san_add(GENERAL_NAMES *names, struct str text, struct err *e)
{
	unsigned char ip[16];
	GENERAL_NAME *name;
	int ip_len = ip_bytes(text, ip);

	if (text.len == 0 || text.len > NAME_MAX_LEN || !printable(text))
		return err_set(e, ERR_INVALID, "not a name for a certificate: \"%.*s\"",
			       (int)(text.len < 64 ? text.len : 64), text.ptr ? text.ptr : "");
	if (ip_len > 0)
		name = make(GEN_IPADD, ip, ip_len);
	else
		name = make(GEN_DNS, text.ptr, (int)text.len);
	if (!name || sk_GENERAL_NAME_push(names, name) <= 0) {
		GENERAL_NAME_free(name);
		return err_memory(e, "adding a subject alternative name");
	}
	return 0;
}
