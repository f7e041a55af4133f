-- Records of dns-01 that may be in DNS (control-plane/acme/dns01.h): the id is the challenge_id in the order's authorizations.
CREATE TABLE acme_dns_records (
	id uuid PRIMARY KEY,
	order_id uuid NOT NULL,
	name text NOT NULL,                                 -- _acme-challenge.NAME
	value text NOT NULL,
	target text,                                        -- where that leads to by aliases: what is set; null: nothing was set
	zone text,
	attempts integer NOT NULL DEFAULT 0,                -- to remove it
	created_at timestamptz NOT NULL DEFAULT now(),
	next_attempt timestamptz NOT NULL DEFAULT now(),    -- not removed sooner: until then it may be being set
	UNIQUE (name, value)
);
CREATE INDEX acme_dns_records_due ON acme_dns_records (next_attempt);
CREATE INDEX acme_dns_records_order ON acme_dns_records (order_id);
