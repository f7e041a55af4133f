-- Orders in lanes of urgency (control-plane/acme/lane.h), each at one of several authorities.
ALTER TABLE acme_orders
	ADD COLUMN lane integer NOT NULL DEFAULT 2,
	ADD COLUMN urgent_at timestamptz,                 -- a renewal's: from then on it is an emergency
	ADD COLUMN ca text,                               -- directory of the authority that has it; directory itself is the first choice
	ADD COLUMN ca_before text,                        -- the one that issued what is renewed
	ADD COLUMN ca_refused text[] NOT NULL DEFAULT '{}', -- authorities that may not issue for the name (CAA)
	ADD COLUMN failures integer NOT NULL DEFAULT 0,   -- in a row, by the fault of the name's owner
	ADD COLUMN dropped jsonb NOT NULL DEFAULT '[]',   -- names that it went on without: [{"type","detail","status","identifier"}]
	ADD COLUMN unpause_url text,                      -- of a name that the authority paused
	ADD COLUMN dns_seen text,                         -- what the name resolved to when it failed
	ADD COLUMN dns_next timestamptz;                  -- when to look whether that changed; null: never

UPDATE acme_orders SET ca = directory WHERE state <> 'new';
UPDATE acme_orders SET lane = CASE WHEN attempts > 0 THEN 3 WHEN renewal THEN 1 ELSE 2 END WHERE state NOT IN ('valid', 'failed');

DROP INDEX acme_orders_due;
CREATE INDEX acme_orders_due ON acme_orders (lane, next_attempt) WHERE state NOT IN ('valid', 'failed', 'parked');
CREATE INDEX acme_orders_urgent ON acme_orders (urgent_at) WHERE lane = 1 AND urgent_at IS NOT NULL AND state NOT IN ('valid', 'failed', 'parked');
CREATE INDEX acme_orders_dns ON acme_orders (dns_next) WHERE dns_next IS NOT NULL;

-- Budgets at authorities, as generic cell rate limits: one time stamp per key (control-plane/acme/limit.h).
CREATE TABLE acme_buckets (
	key text PRIMARY KEY,
	tat timestamptz NOT NULL DEFAULT '-infinity', -- when it is full again, if nothing more is taken
	blocked_until timestamptz,                    -- as the authority said
	reason text                                   -- in its words
) WITH (fillfactor = 60);

-- wanted: [{"id":"...","keys":[{"key":"...","take":1,"every":36.0,"burst":300}]}], every in seconds; take 0 only looks.
-- For each id either all of its keys are charged (wait 0), or none is and the row says which one has no room for how long.
CREATE FUNCTION acme_reserve(wanted jsonb) RETURNS TABLE (id text, key text, wait double precision, reason text) AS $$
DECLARE
	w jsonb;
BEGIN
	-- All rows are made, then locked, in one order: no two callers wait for each other.
	INSERT INTO acme_buckets (key)
		SELECT DISTINCT k ->> 'key' FROM jsonb_array_elements(wanted) o, jsonb_array_elements(o -> 'keys') k
		WHERE (k ->> 'take')::float8 > 0 ORDER BY 1 ON CONFLICT DO NOTHING;
	PERFORM 1 FROM acme_buckets b WHERE b.key IN (
		SELECT k ->> 'key' FROM jsonb_array_elements(wanted) o, jsonb_array_elements(o -> 'keys') k)
		ORDER BY b.key FOR UPDATE;
	FOR w IN SELECT e FROM jsonb_array_elements(wanted) e LOOP
		id := w ->> 'id';
		SELECT b.key, b.reason, greatest(extract(epoch FROM b.blocked_until - clock_timestamp()),
				CASE WHEN (k ->> 'every')::float8 > 0 THEN
					greatest(extract(epoch FROM nullif(b.tat, '-infinity') - clock_timestamp()), 0)
					+ (greatest((k ->> 'take')::float8, 1) - (k ->> 'burst')::float8) * (k ->> 'every')::float8
				END, 0) AS longest
			INTO key, reason, wait
			FROM jsonb_array_elements(w -> 'keys') k JOIN acme_buckets b ON b.key = k ->> 'key'
			ORDER BY longest DESC LIMIT 1;
		IF wait > 0 THEN
			RETURN NEXT;
			CONTINUE;
		END IF;
		UPDATE acme_buckets b SET tat = greatest(b.tat, clock_timestamp())
				+ (k ->> 'take')::float8 * (k ->> 'every')::float8 * interval '1 second'
			FROM jsonb_array_elements(w -> 'keys') k
			WHERE b.key = k ->> 'key' AND (k ->> 'take')::float8 > 0 AND (k ->> 'every')::float8 > 0;
		key := NULL;
		reason := NULL;
		wait := 0;
		RETURN NEXT;
	END LOOP;
END $$ LANGUAGE plpgsql;

-- What the authority said about a bucket wins over our counting; several control planes may be told.
CREATE FUNCTION acme_block(bucket text, seconds double precision, words text) RETURNS void AS $$
	INSERT INTO acme_buckets AS b (key, blocked_until, reason) VALUES (bucket, now() + seconds * interval '1 second', words)
		ON CONFLICT (key) DO UPDATE SET blocked_until = greatest(b.blocked_until, excluded.blocked_until), reason = excluded.reason;
$$ LANGUAGE sql;

-- Accounts: external account binding that was fetched, terms to agree to, a key that is being replaced.
ALTER TABLE acme_accounts
	ADD COLUMN version bigint NOT NULL DEFAULT 1, -- of what control planes keep in memory
	ADD COLUMN eab_kid text,
	ADD COLUMN eab_hmac bytea,                    -- sealed
	ADD COLUMN contact jsonb,                     -- as the authority has it; null: the e-mail address
	ADD COLUMN terms_url text,                    -- not null: nothing goes on before an operator agrees
	ADD COLUMN problem jsonb,                     -- the last one
	ADD COLUMN next_key bytea,                    -- sealed; takes over when no challenge needs the old one any more
	ADD COLUMN next_key_at timestamptz,
	ADD COLUMN deactivated_at timestamptz;
ALTER TABLE acme_accounts DROP CONSTRAINT acme_accounts_directory_email_key;
CREATE UNIQUE INDEX acme_accounts_live ON acme_accounts (directory, email) WHERE deactivated_at IS NULL;
CREATE INDEX acme_orders_ca ON acme_orders (ca) WHERE state IN ('publishing', 'validating');

CREATE TABLE acme_authorities (
	id uuid PRIMARY KEY,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	version bigint NOT NULL DEFAULT 1,
	tags text[],
	name text NOT NULL CONSTRAINT acme_authorities_name_key UNIQUE,
	directory text NOT NULL CONSTRAINT acme_authorities_directory_key UNIQUE,
	preference bigint NOT NULL,
	contact text,
	ca_file text,
	ca_cert text,
	eab_kid text,
	eab_hmac_key bytea, -- sealed
	eab_url text,
	account_key bytea,  -- sealed
	tos_accepted boolean NOT NULL,
	profile text,
	limits text,
	requests_max bigint NOT NULL
);
