-- Who may use the admin API, and who did what with it.

-- Bearer tokens. hash: SHA-256 of the token's 256 random bits, which nobody can guess from it; a slow hash is for what people
-- choose. A token that is revoked is removed.
CREATE TABLE admin_tokens (
	id uuid PRIMARY KEY,
	created_at timestamptz NOT NULL DEFAULT now(),
	name text NOT NULL CONSTRAINT admin_tokens_name_key UNIQUE,
	role text NOT NULL,
	read_keys boolean NOT NULL,
	hash bytea NOT NULL,
	expires_at timestamptz, -- null: never
	last_used_at timestamptz -- to the minute
);

-- One row per write: names of fields, never values. Pruned by age and number of rows.
CREATE TABLE admin_audit (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	at timestamptz NOT NULL DEFAULT now(),
	actor text NOT NULL,
	actor_kind text NOT NULL, -- token, certificate, anonymous, engine
	address text,
	method text,
	path text,
	kind text,
	entity text, -- its id
	fields text[],
	revision bigint -- null: data planes do not hold what was written
);
CREATE INDEX admin_audit_at ON admin_audit (at);
CREATE INDEX admin_audit_entity ON admin_audit (entity, id);

CREATE FUNCTION cardea_note(note jsonb, made bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO admin_audit (actor, actor_kind, address, method, path, kind, entity, fields, revision)
	VALUES (note->>'actor', note->>'actor_kind', note->>'address', note->>'method', note->>'path', note->>'kind', note->>'entity',
		CASE WHEN note ? 'fields' THEN ARRAY(SELECT jsonb_array_elements_text(note->'fields')) END, made);
END $$;

-- cardea_take_revision with the audit row, which needs the number. A note with if_changed is for those who look after their
-- tables again and again: it is written only when something changed.
CREATE FUNCTION cardea_take_revision_noted(op uuid, note jsonb) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	taken bigint := cardea_take_revision(op);
BEGIN
	IF taken > 0 OR NOT note ? 'if_changed' THEN
		PERFORM cardea_note(note, nullif(taken, 0));
	END IF;
	RETURN taken;
END $$;

-- Removes up to `batch` rows that are older than max_age, and as many beyond the newest max_rows; and tokens that expired a month
-- ago. One control plane at a time.
-- True: there may be more.
CREATE FUNCTION cardea_prune_audit(max_age interval, max_rows bigint, batch integer) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	old bigint;
	beyond bigint;
BEGIN
	IF NOT pg_try_advisory_xact_lock(hashtext('cardea_prune_audit')) THEN
		RETURN false;
	END IF;
	DELETE FROM admin_audit WHERE id IN (SELECT id FROM admin_audit WHERE at < now() - max_age ORDER BY at LIMIT batch);
	GET DIAGNOSTICS old = ROW_COUNT;
	DELETE FROM admin_audit WHERE id IN (
		SELECT id FROM admin_audit WHERE id <= (SELECT max(id) FROM admin_audit) - max_rows ORDER BY id LIMIT batch);
	GET DIAGNOSTICS beyond = ROW_COUNT;
	DELETE FROM admin_tokens WHERE expires_at < now() - interval '30 days';
	RETURN old >= batch OR beyond >= batch;
END $$;
