-- Orders that were made by one mass replacement (POST /acme/replacements).
ALTER TABLE acme_orders ADD COLUMN replacement uuid;
CREATE INDEX acme_orders_replacement ON acme_orders (replacement) WHERE replacement IS NOT NULL;
