/* The rows of data planes in PostgreSQL. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "control-plane/store/store_internal.h"

static const char sql_write[] =
	"WITH up AS ("
	" INSERT INTO nodes AS n (id, hostname, ip, version, labels, cert_not_after, epoch,"
	"  revision, nack, connected, control_plane, last_seen)"
	" SELECT r.id, r.hostname, r.ip, r.version, coalesce(r.labels, '{}'),"
	"  to_timestamp(r.cert_not_after), r.epoch, r.revision, r.nack, r.connected, $2::uuid, "
	"now()"
	" FROM jsonb_to_recordset($1::jsonb) AS r(id uuid, hostname text, ip text, version text,"
	"  labels jsonb, cert_not_after double precision, epoch text, revision bigint, nack jsonb,"
	"  connected boolean)"
	" ON CONFLICT (id) DO UPDATE SET hostname = excluded.hostname, ip = excluded.ip,"
	"  version = excluded.version, labels = excluded.labels,"
	"  cert_not_after = excluded.cert_not_after, epoch = excluded.epoch,"
	"  revision = excluded.revision, nack = excluded.nack, connected = excluded.connected,"
	"  control_plane = excluded.control_plane, last_seen = excluded.last_seen"
	/* A node that went to another control plane is that one's to write. */
	" WHERE excluded.connected OR n.control_plane = excluded.control_plane"
	" RETURNING 1)"
	" SELECT set_config('synchronous_commit', 'off', true) AS sync,"
	"  (SELECT count(*) FROM up) AS rows,"
	"  (SELECT count(pg_notify('cardea_nodes', p))"
	"   FROM jsonb_array_elements_text($3::jsonb) AS p) AS notified";

static const char sql_heartbeat[] = "WITH up AS (UPDATE nodes SET last_seen = now() WHERE "
				    "connected AND control_plane = $1::uuid"
				    " RETURNING 1)"
				    " SELECT set_config('synchronous_commit', 'off', true) AS sync,"
				    "  (SELECT count(*) FROM up) AS rows";

static const char sql_read[] =
	"SELECT id, hostname, epoch, revision, connected, control_plane,"
	" (extract(epoch FROM now() - last_seen) * 1000)::bigint AS age"
	" FROM nodes WHERE control_plane IS DISTINCT FROM $1::uuid"
	" AND last_seen > now() - make_interval(secs => $2::double precision)";

/* Kong forgets data planes after 14 days (cluster_data_plane_purge_delay). */
static const char sql_purge[] = "DELETE FROM nodes WHERE last_seen < now() - interval '14 days'";

static const char sql_list[] =
	"SELECT id, extract(epoch FROM last_seen)::bigint AS last_seen,"
	" extract(epoch FROM last_seen)::bigint AS updated_at, ip, hostname, version,"
	" md5(epoch || ':' || revision) AS config_hash,"
	" CASE WHEN live THEN 'normal' ELSE 'unknown' END AS sync_status,"
	" CASE WHEN labels <> '{}' THEN labels END AS labels,"
	" CASE WHEN cert_not_after IS NOT NULL THEN jsonb_build_object('expiry_timestamp',"
	"  extract(epoch FROM cert_not_after)::bigint) END AS cert_details,"
	" '[]'::jsonb AS rpc_capabilities, revision, coalesce(nack, refused -> -1) AS nack,"
	" live AS connected, control_plane, refused"
	" FROM (SELECT *, connected AND last_seen > now() - interval '15 seconds' AS live FROM "
	"nodes)"
	"  AS n, LATERAL (SELECT coalesce(jsonb_agg(jsonb_build_object('revision', c.refused,"
	"   'kind', c.kind, 'id', c.id, 'reason', c.refusal -> 'reason', 'at', c.refusal -> 'at')"
	"   ORDER BY c.refused, c.id), '[]') AS refused"
	"  FROM changes c WHERE c.refused IS NOT NULL AND c.refusal ->> 'node' = n.id::text) AS r"
	" ORDER BY id";

void pg_nodes_write(struct store *s, const char *self, const json_t *rows, const json_t *payloads,
		    store_done done, void *arg)
{
	char *row_text = json_dumps(rows, JSON_COMPACT);
	char *payload_text = json_dumps(payloads, JSON_COMPACT);

	/* Without memory: null, which is refused. */
	pg_store_query(s, sql_write, (const char *const[]){row_text, self, payload_text}, 3, NULL,
		       done, arg);
	free(row_text);
	free(payload_text);
}

void pg_nodes_read(struct store *s, const char *self, uint64_t keep_s, store_done done, void *arg)
{
	char keep[32];

	snprintf(keep, sizeof(keep), "%" PRIu64, keep_s);
	pg_store_query(s, sql_read, (const char *const[]){self, keep}, 2, NULL, done, arg);
}

void pg_nodes_list(struct store *s, store_done done, void *arg)
{
	pg_store_query(s, sql_list, NULL, 0, NULL, done, arg);
}

void pg_nodes_beat(struct store *s, const char *self, store_done done, void *arg)
{
	pg_store_query(s, sql_heartbeat, (const char *const[]){self}, 1, NULL, done, arg);
}

void pg_nodes_purge(struct store *s, store_done done, void *arg)
{
	pg_store_query(s, sql_purge, NULL, 0, NULL, done, arg);
}
