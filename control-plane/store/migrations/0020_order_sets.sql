-- One order for a set of names (RFC 8555 section 7.1.3): host is the least of them, more the others, sorted, with a space between.
-- What was asked of the authority besides names, and when the authority wants a certificate renewed (RFC 9773).
ALTER TABLE acme_orders
	ADD COLUMN more text NOT NULL DEFAULT '',
	ADD COLUMN authorizations jsonb NOT NULL DEFAULT '[]', -- control-plane/acme/authorization.h
	ADD COLUMN challenge_ids uuid[] NOT NULL DEFAULT '{}', -- of acme_challenges that are the order's
	ADD COLUMN key_type_alt text,                          -- of the second certificate for the same names
	ADD COLUMN pair_of uuid,                               -- this one is the second: the first one's order
	ADD COLUMN renews uuid,                                -- the order whose certificate this one replaces
	ADD COLUMN replaces text,                              -- the same for the authority (RFC 9773 section 5)
	ADD COLUMN profile text,
	ADD COLUMN profile_required boolean NOT NULL DEFAULT false,
	ADD COLUMN preferred_chain text,
	ADD COLUMN wanted_not_after timestamptz,
	ADD COLUMN ari_id text,                                -- of the certificate (RFC 9773 section 4.1)
	ADD COLUMN ari_start timestamptz,
	ADD COLUMN ari_end timestamptz,
	ADD COLUMN ari_explanation text,
	ADD COLUMN ari_next timestamptz;                       -- when to ask next; null: never

UPDATE acme_orders SET
	authorizations = jsonb_build_array(jsonb_strip_nulls(jsonb_build_object('url', authorization_url, 'name', host,
		'challenge_url', challenge_url, 'challenge_id', challenge_id))),
	challenge_ids = CASE WHEN challenge_id IS NULL THEN '{}' ELSE ARRAY[challenge_id] END
	WHERE authorization_url IS NOT NULL AND state NOT IN ('valid', 'failed');
ALTER TABLE acme_orders DROP COLUMN authorization_url, DROP COLUMN challenge_url, DROP COLUMN challenge_id;

DROP INDEX acme_orders_live;
CREATE UNIQUE INDEX acme_orders_live ON acme_orders (directory, host, md5(more)) WHERE state NOT IN ('valid', 'failed');
CREATE INDEX acme_orders_more ON acme_orders USING gin (string_to_array(more, ' ')) WHERE more <> '';
CREATE INDEX acme_orders_certificate ON acme_orders (certificate_id) WHERE renew_at IS NOT NULL;
CREATE INDEX acme_orders_pair ON acme_orders (pair_of) WHERE pair_of IS NOT NULL;
CREATE INDEX acme_orders_ari ON acme_orders (ari_next) WHERE ari_next IS NOT NULL;

-- One name may be in several orders, and an authority may give them one token: one at a time.
DELETE FROM acme_challenges a USING acme_challenges b WHERE a.host = b.host AND a.token = b.token AND a.id < b.id;
CREATE UNIQUE INDEX acme_challenges_token ON acme_challenges (host, token);
