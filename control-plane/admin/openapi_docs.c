/* Tables only: texts of the special paths, and the components that follow from no other table. */
#include "control-plane/admin/openapi_docs.h"

#include <string.h>

#include "common/core/compiler.h"

static const struct openapi_doc docs[] = {
	{"/", "get", "what this control plane is, and its configuration", .answer = "node",
	 .status = 200},
	{"/status", "get", "how it is", .query = "unit scale", .answer = "status", .status = 200},
	{"/status/ready", "get", "whether it is ready; 503 says why not", .answer = "message",
	 .status = 200},
	{"/status/ready", "post", "say that it is about to stop", .body = "draining",
	 .status = 204},
	{"/metrics", "get", "counters for Prometheus", .status = 200, .type = "text/plain"},
	{"/openapi.json", "get", "this description", .answer = "any", .status = 200},
	{"/config", "get", "all entities as a declarative document, when there is no database",
	 .answer = "any", .status = 200},
	{"/config", "post",
	 "replace all entities by those of a document, when there is no database",
	 .query = "check_hash flatten_errors", .body = "any", .answer = "any", .status = 201},
	{"/endpoints", "get", "all paths", .answer = "endpoints", .status = 200},
	{"/tags", "get", "every tag of every entity", .query = "size offset", .answer = "tags.page",
	 .status = 200},
	{"/tags/:tag", "get", "the entities with a tag", .query = "size offset",
	 .answer = "tags.page", .status = 200},
	{"/schemas/plugins/validate", "post", "check a plugin without storing it", .body = "any",
	 .answer = "message", .status = 200},
	{"/schemas/plugins/:name", "get", "the fields of a plugin", .answer = "schema",
	 .status = 200},
	{"/schemas/vaults/:name", "get", "there are no vaults: 404", .answer = "schema",
	 .status = 200},
	{"/schemas/:entity/validate", "post", "check an entity without storing it", .body = "any",
	 .answer = "message", .status = 200},
	{"/schemas/:entity", "get", "the fields of an entity", .answer = "schema", .status = 200},
	{"/plugins/enabled", "get", "the names of the plugins", .answer = "plugins.enabled",
	 .status = 200},
	{"/plugins/schema/:name", "get", "the fields of a plugin's config", .answer = "schema",
	 .status = 200, .deprecated = true},
	{"/upstreams/:upstream/targets/all", "get", "all targets of an upstream",
	 .query = "size offset", .answer = "target.page", .status = 200},
	{"/upstreams/:upstream/health", "get", "the health of an upstream's targets",
	 .query = "size offset balancer_health", .answer = "health", .status = 200},
	{"/clustering/data-planes", "get", "the data planes", .answer = "data-plane.page",
	 .status = 200},
	{"/clustering/status", "get", "the data planes by id", .answer = "data-planes",
	 .status = 200, .deprecated = true},
	{"/debug/node/log-level", "get", "what is logged", .answer = "message", .status = 200},
	{"/debug/node/log-level/:level", "put", "change what is logged, for a while",
	 .query = "timeout", .answer = "message", .status = 200},
	{"/debug/cluster/log-level/:level", "put", "the same on every control plane",
	 .query = "timeout", .answer = "message", .status = 200},
	{"/debug/cluster/control-planes-nodes/log-level/:level", "put",
	 "the same on every control plane", .query = "timeout", .answer = "message", .status = 200},
	{"/config", "get", "the declarative configuration in force, as YAML", .answer = "config",
	 .status = 200},
	{"/config", "post", "replace the declarative configuration",
	 .query = "check_hash flatten_errors", .body = "any", .answer = "any", .status = 201},
	{"/admin/tokens", "get", "the tokens of this API", .query = "size offset",
	 .answer = "token.page", .status = 200},
	{"/admin/tokens", "post", "make a token; only this answer tells it", .body = "token.whole",
	 .answer = "token.made", .status = 201},
	{"/admin/tokens/:token", "get", "a token by id or name", .answer = "token", .status = 200},
	{"/admin/tokens/:token", "delete", "revoke a token", .status = 204},
	{"/audit", "get", "who wrote what, newest first",
	 .query = "actor kind entity method since until size offset", .answer = "audit.page",
	 .status = 200},
	{"/import", "post", "many entities, a line each (application/x-ndjson), in batches",
	 .query = "batch", .body = "lines", .answer = "import.report", .status = 200, .also = 207,
	 .takes = "application/x-ndjson"},
	{"/acme", "post", "ask for a certificate and wait for it", .body = "acme.wish",
	 .answer = "acme.answer", .status = 201, .also = 202, .or = 200},
	{"/acme", "patch", "renew what is due", .body = "acme.renewal", .answer = "acme.renewed",
	 .status = 202},
	{"/acme/certificates", "get", "what the names that are kept in date are served with",
	 .query = "size offset invalid_only", .answer = "acme.certificates", .status = 200},
	{"/acme/certificates/:host", "get", "that of one name", .answer = "acme.certificate.one",
	 .status = 200},
	{"/acme/certificates/:host/revoke", "post", "have the authority revoke it",
	 .body = "acme.revocation", .answer = "acme.revoked", .status = 200},
	{"/acme/replacements", "post", "replace certificates of an authority, or with a tag",
	 .body = "acme.replacement.wish", .answer = "acme.replacement", .status = 202},
	{"/acme/replacements/:id", "get", "how far that is", .answer = "acme.replacement",
	 .status = 200},
	{"/acme/import", "post", "take over what Kong's plugin acme keeps in a storage",
	 .body = "acme.import", .answer = "acme.imported", .status = 200},
	{"/acme/accounts", "get", "accounts at authorities", .answer = "object", .status = 200},
	{"/acme/accounts/:id", "patch", "change the contact", .body = "object", .answer = "object",
	 .status = 200},
	{"/acme/accounts/:id", "delete", "deactivate it for ever", .answer = "object",
	 .status = 200},
	{"/acme/accounts/:id/agree", "post", "agree to the terms of service", .answer = "object",
	 .status = 200},
	{"/acme/accounts/:id/rollover", "post", "replace its key", .body = "object",
	 .answer = "object", .status = 200, .also = 202},
	{"/acme/authorities/status", "get", "health and budget of authorities", .answer = "object",
	 .status = 200},
	{"/acme/orders", "get", "certificates that were asked for",
	 .query = "host state size after", .answer = "order.page", .status = 200},
	{"/acme/orders/:id", "get", "one of them", .answer = "order", .status = 200},
	{"/acme/hosts", "get", "names that are kept in date, and where each stands",
	 .query = "size offset state issuer expiring_before tag host", .answer = "acme.host.page",
	 .status = 200},
	{"/acme/orders/:id/events", "get", "its time line", .answer = "event.page", .status = 200},
	{"/acme/orders/:id/retry", "post", "try it again now", .answer = "order", .status = 200},
	{"/apis", "get", "apis of Kong before 0.15", .answer = "any", .status = 200,
	 .deprecated = true},
	{"/apis", "post", "make an api", .body = "any", .answer = "any", .status = 201,
	 .deprecated = true},
	{"/apis", "put", "make or replace an api", .body = "any", .answer = "any", .status = 200,
	 .also = 201, .deprecated = true},
	{"/apis/:api", "get", "an api", .answer = "any", .status = 200, .deprecated = true},
	{"/apis/:api", "put", "make or replace an api", .body = "any", .answer = "any",
	 .status = 200, .also = 201, .deprecated = true},
	{"/apis/:api", "patch", "change an api", .body = "any", .answer = "any", .status = 200,
	 .deprecated = true},
	{"/apis/:api", "delete", "delete an api", .status = 204, .deprecated = true},
	{"/apis/:api/plugins", "get", "the plugins of an api", .answer = "any", .status = 200,
	 .deprecated = true},
	{"/apis/:api/plugins", "post", "give an api a plugin", .body = "any", .answer = "any",
	 .status = 201, .deprecated = true},
	{"/apis/:api/plugins", "put", "give an api a plugin, or replace it", .body = "any",
	 .answer = "any", .status = 200, .also = 201, .deprecated = true},
	{"/apis/:api/plugins/:plugin", "get", "a plugin of an api", .answer = "any", .status = 200,
	 .deprecated = true},
	{"/apis/:api/plugins/:plugin", "patch", "change a plugin of an api", .body = "any",
	 .answer = "any", .status = 200, .deprecated = true},
	{"/apis/:api/plugins/:plugin", "delete", "take a plugin off an api", .status = 204,
	 .deprecated = true},
};

const struct openapi_doc *openapi_doc_find(const char *path, const char *method)
{
	for (size_t i = 0; i < array_len(docs); i++)
		if (strcmp(docs[i].path, path) == 0 && strcmp(docs[i].method, method) == 0)
			return &docs[i];
	return NULL;
}

#define TEXT "{\"type\":\"string\"}"
#define MAYBE_TEXT "{\"type\":[\"string\",\"null\"]}"
#define ID "{\"type\":\"string\",\"format\":\"uuid\"}"
#define NUMBER "{\"type\":\"integer\"}"
#define MAYBE_NUMBER "{\"type\":[\"integer\",\"null\"]}"
#define BOOLEAN "{\"type\":\"boolean\"}"
#define OBJECT "{\"type\":\"object\"}"
#define MAYBE_OBJECT "{\"type\":[\"object\",\"null\"]}"
#define PAGE(of)                                                                                   \
	"{\"type\":\"object\",\"required\":[\"data\",\"next\"],\"properties\":{\"data\":{"         \
	"\"type\":\"array\",\"items\":{\"$ref\":\"#/components/schemas/" of                        \
	"\"}},\"next\":" MAYBE_TEXT ",\"offset\":" TEXT "}}"

#define KEY_TYPE "{\"enum\":[\"ecdsa-p256\",\"ecdsa-p384\",\"rsa-2048\",\"rsa-3072\",\"rsa-4096\"]}"

const struct openapi_part openapi_schemas[] = {
	{"any", OBJECT},
	{"message",
	 "{\"type\":\"object\",\"required\":[\"message\"],\"properties\":{\"message\":" TEXT "}}"},
	{"error", "{\"type\":\"object\",\"required\":[\"message\"],\"properties\":{"
		  "\"message\":" TEXT ",\"code\":{\"type\":\"integer\",\"minimum\":1},"
		  "\"name\":" TEXT ",\"fields\":{\"type\":[\"object\",\"array\"]},"
		  "\"options\":" OBJECT "}}"},
	{"node",
	 "{\"type\":\"object\",\"required\":[\"version\",\"node_id\",\"hostname\","
	 "\"configuration\",\"plugins\"],\"properties\":{\"tagline\":" TEXT
	 ",\"version\":{\"type\":\"string\",\"description\":\"of Kong, whose API this is\"},"
	 "\"cardea_version\":" TEXT ",\"edition\":" TEXT ",\"hostname\":" TEXT ",\"node_id\":" ID
	 ",\"timers\":" OBJECT ",\"pids\":" OBJECT ",\"configuration\":" OBJECT
	 ",\"plugins\":{\"type\":\"object\",\"required\":["
	 "\"available_on_server\",\"enabled_in_cluster\"],\"properties\":{"
	 "\"available_on_server\":" OBJECT
	 ",\"enabled_in_cluster\":{\"type\":\"array\",\"items\":" TEXT "}}}}}"},
	{"status", "{\"type\":\"object\",\"required\":[\"server\",\"memory\"],\"properties\":{"
		   "\"server\":" OBJECT ",\"memory\":" OBJECT
		   ",\"database\":{\"type\":\"object\",\"properties\":{\"reachable\":" BOOLEAN "}},"
		   "\"fleet\":{\"type\":\"object\",\"properties\":{\"revision\":" NUMBER "}},"
		   "\"configuration_hash\":" TEXT "}}"},
	{"draining", "{\"type\":\"object\",\"required\":[\"status\"],\"properties\":{\"status\":{"
		     "\"const\":\"draining\"}}}"},
	{"endpoints", "{\"type\":\"object\",\"required\":[\"data\"],\"properties\":{\"data\":{"
		      "\"type\":\"array\",\"items\":" TEXT "}}}"},
	{"tagged",
	 "{\"type\":\"object\",\"required\":[\"tag\",\"entity_name\",\"entity_id\"],"
	 "\"properties\":{\"tag\":" TEXT ",\"entity_name\":" TEXT ",\"entity_id\":" ID "}}"},
	{"tags.page", PAGE("tagged")},
	{"schema", "{\"type\":\"object\",\"required\":[\"fields\"],\"properties\":{\"fields\":{"
		   "\"type\":\"array\",\"items\":{\"type\":\"object\",\"minProperties\":1,"
		   "\"maxProperties\":1,\"additionalProperties\":" OBJECT "}},\"entity_checks\":{"
		   "\"type\":\"array\",\"items\":" OBJECT "},\"shorthand_fields\":{\"type\":"
		   "\"array\"}}}"},
	{"plugins.enabled",
	 "{\"type\":\"object\",\"required\":[\"enabled_plugins\"],"
	 "\"properties\":{\"enabled_plugins\":{\"type\":\"array\",\"items\":" TEXT "}}}"},
	{"health",
	 "{\"type\":\"object\",\"required\":[\"data\",\"node_id\"],\"properties\":{"
	 "\"data\":{\"type\":[\"array\",\"object\"]},\"next\":" MAYBE_TEXT ",\"node_id\":" ID "}}"},
	{"data-plane",
	 "{\"type\":\"object\",\"required\":[\"id\",\"last_seen\",\"hostname\",\"version\","
	 "\"sync_status\",\"revision\",\"connected\"],\"properties\":{\"id\":" ID
	 ",\"last_seen\":" NUMBER ",\"updated_at\":" NUMBER ",\"ip\":" MAYBE_TEXT
	 ",\"hostname\":" MAYBE_TEXT ",\"version\":" MAYBE_TEXT ",\"config_hash\":" MAYBE_TEXT
	 ",\"sync_status\":" TEXT ",\"labels\":" MAYBE_OBJECT ",\"cert_details\":" MAYBE_OBJECT
	 ",\"rpc_capabilities\":{\"type\":\"array\"},\"revision\":" NUMBER
	 ",\"nack\":{\"description\":\"what it refused; null: nothing\"},\"connected\":" BOOLEAN
	 ",\"control_plane\":" MAYBE_TEXT "}}"},
	{"data-plane.page", PAGE("data-plane")},
	{"data-planes", "{\"type\":\"object\",\"additionalProperties\":" OBJECT "}"},
	{"config",
	 "{\"type\":\"object\",\"required\":[\"config\"],\"properties\":{\"config\":" TEXT "}}"},
	{"token.whole",
	 "{\"type\":\"object\",\"required\":[\"name\",\"role\"],\"properties\":{\"name\":" TEXT
	 ",\"role\":{\"enum\":[\"reader\",\"operator\",\"admin\"]},\"read_keys\":{\"type\":"
	 "\"boolean\",\"default\":false},\"expires_in\":{\"type\":[\"integer\",\"null\"],"
	 "\"minimum\":1,\"description\":\"seconds\"}}}"},
	{"token", "{\"type\":\"object\",\"required\":[\"id\",\"name\",\"role\"],\"properties\":{"
		  "\"id\":" ID ",\"name\":" TEXT ",\"role\":" TEXT ",\"read_keys\":" BOOLEAN "}}"},
	{"token.made", "{\"allOf\":[{\"$ref\":\"#/components/schemas/token\"},{\"type\":\"object\","
		       "\"required\":[\"token\"],\"properties\":{\"token\":" TEXT "}}]}"},
	{"token.page", PAGE("token")},
	{"audit", "{\"type\":\"object\",\"required\":[\"id\",\"at\",\"actor\",\"method\",\"path\"],"
		  "\"properties\":{\"id\":{},\"at\":{},\"actor\":" TEXT ",\"actor_kind\":" TEXT
		  ",\"address\":" MAYBE_TEXT ",\"method\":" TEXT ",\"path\":" TEXT
		  ",\"kind\":" MAYBE_TEXT ",\"entity\":" MAYBE_TEXT
		  ",\"fields\":{\"type\":[\"array\",\"null\"]},\"revision\":" MAYBE_NUMBER "}}"},
	{"audit.page", PAGE("audit")},
	{"order",
	 "{\"type\":\"object\",\"required\":[\"id\",\"host\",\"state\",\"attempts\","
	 "\"last_problem\",\"certificate\"],\"properties\":{\"id\":" ID ",\"host\":" TEXT
	 ",\"hosts\":{\"type\":\"array\",\"items\":" TEXT
	 "},\"authorizations\":{\"type\":\"array\"},\"key_type_alt\":" MAYBE_TEXT
	 ",\"pair_of\":" MAYBE_TEXT ",\"alternative\":" MAYBE_OBJECT ",\"profile\":" MAYBE_TEXT
	 ",\"preferred_chain\":" MAYBE_TEXT ",\"renewal_explanation\":" MAYBE_TEXT
	 ",\"directory\":" TEXT ",\"key_type\":" MAYBE_TEXT
	 ",\"state\":{\"enum\":[\"new\",\"authorizing\",\"publishing\",\"validating\","
	 "\"finalizing\",\"downloading\",\"valid\",\"failed\",\"paused_by_ca\",\"parked\"]},"
	 "\"renewal\":{},\"attempts\":" NUMBER ",\"next_attempt\":" MAYBE_NUMBER
	 ",\"last_problem\":" MAYBE_OBJECT ",\"certificate\":" MAYBE_OBJECT
	 ",\"revision\":" MAYBE_NUMBER ",\"not_after\":" MAYBE_NUMBER ",\"renew_at\":" MAYBE_NUMBER
	 ",\"revoked_at\":" MAYBE_NUMBER ",\"revocation_reason\":" MAYBE_NUMBER
	 ",\"created_at\":" NUMBER ",\"updated_at\":" NUMBER ",\"lease_owner\":" MAYBE_TEXT
	 ",\"authority\":" MAYBE_TEXT ",\"lane\":" TEXT ",\"failures\":" NUMBER
	 ",\"unpause_url\":" MAYBE_TEXT ",\"dropped\":{\"type\":\"array\"}"
	 ",\"missing_nodes\":{\"type\":\"array\"}}}"},
	{"order.page", PAGE("order")},
	{"acme.host", "{\"type\":\"object\",\"required\":[\"host\",\"hosts\",\"state\",\"order\","
		      "\"certificate\"],\"properties\":{\"host\":" TEXT
		      ",\"hosts\":{\"type\":\"array\",\"items\":" TEXT "},\"state\":" TEXT
		      ",\"renewal\":" BOOLEAN ",\"attempts\":" NUMBER ",\"failures\":" NUMBER
		      ",\"next_attempt\":" MAYBE_NUMBER ",\"last_problem\":" MAYBE_OBJECT
		      ",\"unpause_url\":" MAYBE_TEXT ",\"issuer\":" MAYBE_TEXT
		      ",\"directory\":" MAYBE_TEXT ",\"not_after\":" MAYBE_NUMBER
		      ",\"renew_at\":" MAYBE_NUMBER ",\"revoked_at\":" MAYBE_NUMBER
		      ",\"tags\":{\"type\":[\"array\",\"null\"]},\"order\":" OBJECT
		      ",\"certificate\":" MAYBE_OBJECT "}}"},
	{"acme.host.page", PAGE("acme.host")},
	{"event", "{\"type\":\"object\",\"required\":[\"at\",\"event\"],\"properties\":{"
		  "\"at\":{\"type\":\"number\"},\"event\":" TEXT ",\"by\":" TEXT ",\"detail\":" TEXT
		  ",\"nodes\":{\"type\":\"array\",\"items\":" ID "}}}"},
	{"event.page", PAGE("event")},
	{"lines", TEXT},
	{"object", "{\"type\":\"object\"}"},
	{"import.report",
	 "{\"type\":\"object\",\"properties\":{\"lines\":" NUMBER ",\"stored\":" NUMBER
	 ",\"changed\":" NUMBER ",\"refused\":" NUMBER ",\"skipped\":" NUMBER ",\"batches\":" NUMBER
	 ",\"batches_refused\":" NUMBER ",\"revision\":" NUMBER
	 ",\"errors\":{\"type\":\"array\",\"items\":{\"type\":\"object\"}},\"errors_"
	 "omitted\":" NUMBER "}}"},
	{"acme.wish", "{\"type\":\"object\",\"anyOf\":[{\"required\":[\"host\"]},{\"required\":["
		      "\"hosts\"]}],\"properties\":{\"host\":" TEXT
		      ",\"hosts\":{\"type\":\"array\",\"maxItems\":100,\"items\":" TEXT
		      ",\"description\":\"names of one certificate, with host or instead of it\"},"
		      "\"key_type\":" KEY_TYPE ",\"key_type_alt\":" KEY_TYPE ",\"profile\":" TEXT
		      ",\"profile_required\":{\"type\":\"boolean\",\"default\":false},"
		      "\"preferred_chain\":" TEXT ",\"not_after\":" NUMBER
		      ",\"test_http_challenge_flow\":{\"type\":\"boolean\",\"default\":false,"
		      "\"description\":\"only look whether http-01 would succeed\"}}}"},
	{"acme.answer",
	 "{\"type\":\"object\",\"required\":[\"message\"],\"properties\":{"
	 "\"message\":" TEXT ",\"host\":" TEXT ",\"passed\":" BOOLEAN ",\"problem\":" MAYBE_TEXT
	 ",\"data_planes\":" NUMBER ",\"addresses\":{\"type\":\"array\",\"items\":" OBJECT
	 "},\"order\":{\"$ref\":\"#/components/schemas/order\"}}}"},
	{"acme.renewal",
	 "{\"type\":\"object\",\"properties\":{\"force\":{\"type\":\"boolean\",\"default\":"
	 "false,\"description\":\"everything, due or not\"}}}"},
	{"acme.renewed", "{\"type\":\"object\",\"required\":[\"message\",\"orders\"],"
			 "\"properties\":{\"message\":" TEXT ",\"orders\":" NUMBER "}}"},
	{"acme.certificate",
	 "{\"type\":\"object\",\"properties\":{\"host\":" TEXT ",\"issuer_cn\":" TEXT
	 ",\"not_before\":" TEXT ",\"not_after\":" TEXT ",\"valid\":" BOOLEAN ",\"digest\":" TEXT
	 ",\"digest_sha256\":" TEXT ",\"serial_number\":" TEXT ",\"pubkey_type\":" TEXT
	 ",\"certificate\":{\"type\":\"object\"}}}"},
	{"acme.certificates",
	 "{\"type\":\"object\",\"properties\":{\"data\":{\"type\":\"array\",\"items\":"
	 "{\"$ref\":\"#/components/schemas/acme.certificate\"}}}}"},
	{"acme.replacement.wish",
	 "{\"type\":\"object\",\"anyOf\":[{\"required\":[\"issuer\"]},{\"required\":[\"tag\"]}],"
	 "\"properties\":{\"issuer\":" TEXT ",\"tag\":" TEXT
	 ",\"per_minute\":{\"type\":[\"integer\",\"null\"],\"minimum\":1}}}"},
	{"acme.replacement",
	 "{\"type\":\"object\",\"required\":[\"id\",\"orders\"],\"properties\":{\"id\":" ID
	 ",\"orders\":" NUMBER ",\"skipped\":" NUMBER ",\"valid\":" NUMBER ",\"stopped\":" NUMBER
	 ",\"waiting\":" NUMBER ",\"in_trouble\":" NUMBER ",\"created_at\":" NUMBER
	 ",\"last_attempt\":" MAYBE_NUMBER ",\"problems\":{\"type\":\"array\",\"items\":" OBJECT
	 "}}}"},
	{"acme.import",
	 "{\"type\":\"object\",\"properties\":{\"storage\":{\"type\":[\"string\",\"null\"],"
	 "\"enum\":"
	 "[\"redis\",\"consul\",\"vault\",null]},\"storage_config\":{\"type\":[\"object\",\"null\"]"
	 "},"
	 "\"api_uri\":{\"type\":[\"string\",\"null\"]},\"rows\":{\"type\":[\"array\",\"null\"],"
	 "\"items\":{\"type\":\"object\",\"required\":[\"key\",\"value\"],\"properties\":"
	 "{\"key\":" TEXT ",\"value\":" TEXT "}}},\"dry_run\":{\"type\":[\"boolean\",\"null\"]},"
	 "\"force\":{\"type\":[\"boolean\",\"null\"]}}}"},
	{"acme.imported",
	 "{\"type\":\"object\",\"required\":[\"storage\",\"dry_run\",\"keys\",\"taken\","
	 "\"unchanged\","
	 "\"left\",\"refused\",\"rows\",\"rows_left_out\",\"revision\"],\"properties\":{"
	 "\"storage\":" TEXT ",\"dry_run\":{\"type\":\"boolean\"},\"keys\":" NUMBER
	 ",\"taken\":" NUMBER ",\"unchanged\":" NUMBER ",\"left\":" NUMBER ",\"refused\":" NUMBER
	 ",\"rows_left_out\":" NUMBER ",\"revision\":" MAYBE_NUMBER
	 ",\"rows\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"key\","
	 "\"kind\","
	 "\"result\",\"reason\",\"certificate\",\"not_after\"],\"properties\":{\"key\":" TEXT
	 ",\"kind\":" TEXT ",\"result\":{\"enum\":[\"taken\",\"unchanged\",\"left\",\"refused\"]},"
	 "\"host\":" TEXT ",\"email\":" TEXT ",\"reason\":{\"type\":[\"string\",\"null\"]},"
	 "\"certificate\":" MAYBE_OBJECT ",\"not_after\":" MAYBE_NUMBER "}}}}}"},
	{"acme.revocation",
	 "{\"type\":\"object\",\"properties\":{\"reason\":{\"type\":[\"string\",\"integer\"],"
	 "\"default\":\"unspecified\",\"description\":\"of RFC 5280: unspecified (0), "
	 "keyCompromise (1), affiliationChanged (3), superseded (4), cessationOfOperation (5)\"},"
	 "\"replace\":{\"type\":\"boolean\",\"description\":\"order another certificate for the "
	 "names; default: with every reason but cessationOfOperation\"}}}"},
	{"acme.revoked",
	 "{\"type\":\"object\",\"required\":[\"message\",\"certificate\",\"reason\"],"
	 "\"properties\":{\"message\":" TEXT ",\"certificate\":" OBJECT ",\"reason\":" TEXT
	 ",\"code\":" NUMBER ",\"revoked\":" NUMBER ",\"already\":" NUMBER
	 ",\"replacement\":" MAYBE_OBJECT "}}"},
	{"acme.certificate.one", "{\"type\":\"object\",\"properties\":{\"data\":"
				 "{\"$ref\":\"#/components/schemas/acme.certificate\"}}}"},
	{0},
};

#define QUERY(name, schema, what)                                                                  \
	{                                                                                          \
		name, "{\"name\":\"" name "\",\"in\":\"query\",\"schema\":" schema                 \
		      ",\"description\":\"" what "\"}"                                             \
	}

const struct openapi_part openapi_parameters[] = {
	QUERY("invalid_only", TEXT, "given: without those that are inside their time"),
	QUERY("size", "{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000,\"default\":100}",
	      "rows of a page"),
	QUERY("offset", TEXT, "of the page before: where this one begins"),
	QUERY("batch", "{\"type\":\"integer\",\"minimum\":1,\"maximum\":10000,\"default\":5000}",
	      "lines that are stored together or not at all"),
	QUERY("tags", TEXT, "only what has all of a,b or any of a/b"),
	QUERY("unit", TEXT, "of sizes: b, k, m or g"),
	QUERY("scale", NUMBER, "decimals of sizes"),
	QUERY("balancer_health", TEXT, "1: of the upstream as a whole"),
	QUERY("timeout", NUMBER, "seconds until it is as before; 0: it stays"),
	QUERY("check_hash", TEXT, "1: do nothing when it is in force already"),
	QUERY("flatten_errors", TEXT, "1: tell errors by entity"),
	QUERY("actor", TEXT, "only of this name"),
	QUERY("kind", TEXT, "only this kind of entity"),
	QUERY("entity", TEXT, "only this entity"),
	QUERY("method", TEXT, "only this method"),
	QUERY("since", TEXT, "not before: seconds since 1970, or a time of RFC 3339"),
	QUERY("until", TEXT, "before"),
	QUERY("host", TEXT, "only of this hostname"),
	QUERY("state", TEXT, "only in this state"),
	QUERY("issuer", TEXT, "only of this authority: its name or directory"),
	QUERY("expiring_before", NUMBER, "seconds since 1970"),
	QUERY("tag", TEXT, "only with this tag"),
	QUERY("after", ID, "the last id of the page before"),
	{"prefer", "{\"name\":\"Prefer\",\"in\":\"header\",\"schema\":" TEXT
		   ",\"description\":\"wait=N: answer when every data plane holds the change, "
		   "after N seconds at most\"}"},
	{0},
};

const struct openapi_part openapi_headers[] = {
	{"revision",
	 "{\"schema\":" NUMBER ",\"description\":\"the revision that the write made\"}"},
	{"missing-nodes", "{\"schema\":" TEXT ",\"description\":\"ids of the data planes that did "
			  "not confirm in time\"}"},
	{0},
};

const struct openapi_part openapi_security[] = {
	{"bearer", "{\"type\":\"http\",\"scheme\":\"bearer\"}"},
	{"token", "{\"type\":\"apiKey\",\"in\":\"header\",\"name\":\"Kong-Admin-Token\"}"},
	{"certificate", "{\"type\":\"mutualTLS\"}"},
	{0},
};

const struct openapi_refusal openapi_refusals[] = {
	{.status = 400,
	 .name = "invalid",
	 .description = "what was sent is wrong; fields tells where"},
	{401, "unauthorized", "no credentials, or wrong ones", .auth = true},
	{403, "forbidden", "the role is not enough", .auth = true},
	{404, "missing", "there is no such thing", .named = true},
	{409, "conflict", "it clashes with what is there", .writes = true},
	{413, "large", "the body is too large", .body = true},
	{415, "type", "the body is of no type that is taken", .body = true},
	{429, "throttled", "too many wrong credentials", .auth = true},
	{.status = 503, .name = "unavailable", .description = "the database is away; try again"},
	{.status = 0},
};
