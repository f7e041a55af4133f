-- Certificates are written through into the storage of the plugin acme, if that is Redis, Consul or Vault: when next; infinity: it is there.
ALTER TABLE acme_orders ADD COLUMN stored_next timestamptz NOT NULL DEFAULT now();
CREATE INDEX acme_orders_stored ON acme_orders (stored_next) WHERE state = 'valid' AND renew_at IS NOT NULL AND stored_next < 'infinity';
