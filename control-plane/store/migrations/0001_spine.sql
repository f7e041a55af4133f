-- Revisions, the change feed, certificates, data planes and ACME orders (design sections 6 and 9).

-- One row. The epoch names this database's history; see also cardea_epoch().
CREATE TABLE cluster (
	one boolean PRIMARY KEY DEFAULT true CHECK (one),
	id uuid NOT NULL DEFAULT gen_random_uuid(),
	revision bigint NOT NULL DEFAULT 0,
	floor bigint NOT NULL DEFAULT 0 -- removals up to here are forgotten: whoever holds less takes a snapshot
);
INSERT INTO cluster DEFAULT VALUES;

-- A restored backup or a promoted standby has another timeline; a dump that is restored elsewhere another system identifier, and
-- one that is restored where it came from another oid of the table.
CREATE FUNCTION cardea_epoch() RETURNS text LANGUAGE sql STABLE AS $$
	SELECT c.id || '.' || s.system_identifier || '.' || k.timeline_id || '.' || c.tableoid
	FROM cluster c, pg_control_system() s, pg_control_checkpoint() k
$$;

-- The last change of each entity. While its transaction runs, revision is -txid.
CREATE TABLE changes (
	kind text NOT NULL,
	id uuid NOT NULL,
	revision bigint NOT NULL,
	removed boolean NOT NULL,
	PRIMARY KEY (kind, id)
);
CREATE INDEX changes_revision ON changes (revision);
CREATE INDEX changes_removed ON changes (revision) WHERE removed;

-- Which operation made which revision: answers a writer whose commit answer was lost. A negative revision: a transaction that
-- changed nothing in the feed. Pruned after a day.
CREATE TABLE revisions (
	revision bigint PRIMARY KEY,
	operation uuid UNIQUE,
	refused boolean NOT NULL DEFAULT false, -- see cardea_settle
	at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX revisions_at ON revisions (at);

CREATE FUNCTION cardea_note_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	entity uuid := CASE WHEN TG_OP = 'DELETE' THEN OLD.id ELSE NEW.id END;
BEGIN
	INSERT INTO changes (kind, id, revision, removed)
	VALUES (TG_TABLE_NAME, entity, -txid_current(), TG_OP = 'DELETE')
	ON CONFLICT (kind, id) DO UPDATE SET revision = excluded.revision, removed = excluded.removed;
	RETURN NULL;
END $$;

-- Gives all changes of this transaction the next revision and wakes the control planes. The row lock on cluster, held until
-- commit, makes commit order equal revision order; so this is the last statement before COMMIT. 0: nothing had changed.
CREATE FUNCTION cardea_take_revision(op uuid) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	mine bigint := -txid_current();
	taken bigint;
BEGIN
	IF NOT EXISTS (SELECT 1 FROM changes WHERE revision = mine) THEN
		IF op IS NOT NULL THEN
			INSERT INTO revisions (revision, operation) VALUES (mine, op);
		END IF;
		RETURN 0;
	END IF;
	UPDATE cluster SET revision = revision + 1 RETURNING revision INTO taken;
	UPDATE changes SET revision = taken WHERE revision = mine;
	INSERT INTO revisions (revision, operation) VALUES (taken, op);
	PERFORM pg_notify('cardea_revision', taken::text);
	RETURN taken;
END $$;

-- What became of an operation whose commit answer was lost: the revision (the current one when it changed nothing), or null
-- when it was not committed, which from then on it never will be: its id is taken. Waits for a writer that is still at work.
CREATE FUNCTION cardea_settle(op uuid) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	found_revision bigint;
BEGIN
	INSERT INTO revisions (revision, operation, refused) VALUES (-txid_current(), op, true)
	ON CONFLICT (operation) DO NOTHING;
	SELECT revision INTO found_revision FROM revisions WHERE operation = op AND NOT refused;
	IF found_revision < 0 THEN
		SELECT revision INTO found_revision FROM cluster;
	END IF;
	RETURN found_revision;
END $$;

-- A transaction that forgot to take its revision (an operator's SQL by hand) gets one at commit. Asked once per changed row, so
-- it looks at that row only: cardea_take_revision passes the dead versions of all of them, 10,000 rows took 20 s. The revision is
-- compared afterwards, for the planner would take its index as soon as statistics say that hardly any is negative.
CREATE FUNCTION cardea_take_revision_late() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	present bigint;
BEGIN
	SELECT revision INTO present FROM changes WHERE kind = NEW.kind AND id = NEW.id;
	IF present < 0 THEN
		PERFORM cardea_take_revision(NULL);
	END IF;
	RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER changes_take_revision AFTER INSERT OR UPDATE ON changes
	DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.revision < 0)
	EXECUTE FUNCTION cardea_take_revision_late();

-- Ends the transaction with an error of the given SQLSTATE (CA001: the row is not there or its version moved on;
-- CA002: the lease was lost) unless ok.
CREATE FUNCTION cardea_expect(ok boolean, state text, what text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF ok IS NOT TRUE THEN
		RAISE EXCEPTION '%', what USING ERRCODE = state;
	END IF;
END $$;

-- Forgets removals that are older than an hour and operations that are older than a day; up to 10,000 of each, so that no call
-- takes long. One control plane at a time. True: there may be more.
CREATE FUNCTION cardea_compact() RETURNS boolean LANGUAGE plpgsql AS $$
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
			SELECT kind, id FROM changes WHERE removed AND revision BETWEEN 1 AND old ORDER BY revision LIMIT 10000) d
		WHERE c.kind = d.kind AND c.id = d.id AND c.removed AND c.revision BETWEEN 1 AND old
		RETURNING c.revision)
	SELECT count(*), max(revision) INTO forgotten, highest FROM gone;
	IF forgotten > 0 THEN
		UPDATE cluster SET floor = greatest(floor, highest);
	END IF;
	RETURN forgotten = 10000 OR pruned = 10000;
END $$;

CREATE TABLE certificates (
	id uuid PRIMARY KEY,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	version bigint NOT NULL DEFAULT 1, -- for optimistic concurrency
	tags text[],
	cert text NOT NULL,
	key bytea NOT NULL, -- sealed
	cert_alt text,
	key_alt bytea -- sealed
);

CREATE TABLE snis (
	id uuid PRIMARY KEY,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	version bigint NOT NULL DEFAULT 1,
	tags text[],
	name text NOT NULL,
	certificate uuid NOT NULL CONSTRAINT snis_certificate_fkey REFERENCES certificates (id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX snis_name_key ON snis (lower(name));
CREATE INDEX snis_certificate ON snis (certificate);

-- What data planes answer below /.well-known/acme-challenge/ (RFC 8555 section 8.3).
CREATE TABLE acme_challenges (
	id uuid PRIMARY KEY,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	version bigint NOT NULL DEFAULT 1,
	host text NOT NULL,
	token text NOT NULL,
	key_authorization text NOT NULL
);

-- Session ticket keys of the whole fleet are derived from these (proto/README.md).
CREATE TABLE ticket_secrets (
	id uuid PRIMARY KEY,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	version bigint NOT NULL DEFAULT 1,
	secret bytea NOT NULL, -- sealed
	not_before timestamptz NOT NULL
);

CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON certificates
	FOR EACH ROW EXECUTE FUNCTION cardea_note_change();
CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON snis
	FOR EACH ROW EXECUTE FUNCTION cardea_note_change();
CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON acme_challenges
	FOR EACH ROW EXECUTE FUNCTION cardea_note_change();
CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON ticket_secrets
	FOR EACH ROW EXECUTE FUNCTION cardea_note_change();

-- Data planes as their control plane last saw them. Written by the control plane that holds the stream.
CREATE TABLE nodes (
	id uuid PRIMARY KEY,
	hostname text NOT NULL DEFAULT '',
	ip text NOT NULL DEFAULT '',
	version text NOT NULL DEFAULT '',
	labels jsonb NOT NULL DEFAULT '{}',
	cert_not_after timestamptz,
	epoch text NOT NULL DEFAULT '',
	revision bigint NOT NULL DEFAULT 0, -- acked
	nack jsonb,                         -- {"revision","kind","id","reason","at"} of the last refusal, until a later ack
	connected boolean NOT NULL DEFAULT false,
	control_plane uuid,
	first_seen timestamptz NOT NULL DEFAULT now(),
	last_seen timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE acme_accounts (
	id uuid PRIMARY KEY,
	directory text NOT NULL,
	email text NOT NULL DEFAULT '',
	key bytea NOT NULL, -- sealed
	url text,           -- the CA's; null until registered
	lease_owner uuid,   -- who is registering it
	lease_until timestamptz,
	created_at timestamptz NOT NULL DEFAULT now(),
	UNIQUE (directory, email)
);

-- An order survives crashes: each step is stored before the CA is asked (design section 9).
CREATE TABLE acme_orders (
	id uuid PRIMARY KEY,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	host text NOT NULL,
	directory text NOT NULL,
	key_type text NOT NULL,
	state text NOT NULL DEFAULT 'new',
	renewal boolean NOT NULL DEFAULT false,
	attempts integer NOT NULL DEFAULT 0,
	next_attempt timestamptz NOT NULL DEFAULT now(),
	lease_owner uuid,
	lease_until timestamptz,
	fence bigint NOT NULL DEFAULT 0, -- grows with every lease; a writer with an older one loses
	order_url text,
	authorization_url text,
	challenge_url text,
	finalize_url text,
	certificate_url text,
	challenge_id uuid,
	challenge_revision bigint,
	key bytea,         -- of the certificate, sealed; null outside finalizing and downloading
	problem jsonb,     -- the last one: {"type","detail","status","at"}
	certificate_id uuid,
	revision bigint,   -- that made the certificate live
	not_after timestamptz,
	renew_at timestamptz -- null: never, or another order took over
);
CREATE UNIQUE INDEX acme_orders_live ON acme_orders (directory, host) WHERE state NOT IN ('valid', 'failed');
CREATE INDEX acme_orders_due ON acme_orders (next_attempt) WHERE state NOT IN ('valid', 'failed');
CREATE INDEX acme_orders_renew ON acme_orders (renew_at) WHERE state = 'valid' AND renew_at IS NOT NULL;
CREATE INDEX acme_orders_host ON acme_orders (host, created_at DESC);
