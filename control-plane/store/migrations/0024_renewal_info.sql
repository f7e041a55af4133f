-- When the certificate begins: its lifetime says how often its renewal information is asked for.
ALTER TABLE acme_orders ADD COLUMN not_before timestamptz;
