-- What a data plane refused is held back from all that have not got it, until the entity changes (proto/README.md).

-- refused: the revision of the change that was refused; null: none was. Noting it is a change of its own, with a revision, so that every
-- control plane learns of it in order. refusal: {"node","reason","at"}.
ALTER TABLE changes ADD COLUMN refused bigint, ADD COLUMN refusal jsonb;
CREATE INDEX changes_refused ON changes (kind, id) WHERE refused IS NOT NULL;

-- As before; and what changes is offered again.
CREATE OR REPLACE FUNCTION cardea_note_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	entity uuid := CASE WHEN TG_OP = 'DELETE' THEN OLD.id ELSE NEW.id END;
BEGIN
	INSERT INTO changes (kind, id, revision, removed)
	VALUES (TG_TABLE_NAME, entity, -txid_current(), TG_OP = 'DELETE')
	ON CONFLICT (kind, id) DO UPDATE SET revision = excluded.revision, removed = excluded.removed, refused = NULL, refusal = NULL;
	RETURN NULL;
END $$;

-- As before; but a removal that was refused is not forgotten.
CREATE OR REPLACE FUNCTION cardea_compact() RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	old bigint;
	highest bigint;
	forgotten bigint;
	pruned bigint;
BEGIN
	IF NOT pg_try_advisory_xact_lock(hashtext('cardea_compact')) THEN
		RETURN false;
	END IF;
	DELETE FROM revisions WHERE revision IN (
		SELECT revision FROM revisions WHERE at < now() - interval '1 day' ORDER BY at LIMIT 10000);
	GET DIAGNOSTICS pruned = ROW_COUNT;
	SELECT max(revision) INTO old FROM revisions WHERE at < now() - interval '1 hour';
	-- No write for a day: everything that is there is old.
	IF old IS NULL AND NOT EXISTS (SELECT 1 FROM revisions) THEN
		SELECT revision INTO old FROM cluster;
	END IF;
	WITH gone AS (
		DELETE FROM changes c USING (
			SELECT kind, id FROM changes WHERE removed AND refused IS NULL AND revision BETWEEN 1 AND old ORDER BY revision LIMIT 10000) d
		WHERE c.kind = d.kind AND c.id = d.id AND c.removed AND c.refused IS NULL AND c.revision BETWEEN 1 AND old
		RETURNING c.revision)
	SELECT count(*), max(revision) INTO forgotten, highest FROM gone;
	IF forgotten > 0 THEN
		UPDATE cluster SET floor = greatest(floor, highest);
	END IF;
	RETURN forgotten = 10000 OR pruned = 10000;
END $$;
