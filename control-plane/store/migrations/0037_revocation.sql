-- The authority revoked the order's certificate at our wish, for this reason (RFC 5280 section 5.3.1).
ALTER TABLE acme_orders ADD COLUMN revoked_at timestamptz, ADD COLUMN revocation_reason integer;
