-- A row that is removed and made again with the same id must not look like the one that somebody read before: each write of any row
-- takes a number of its own. It begins above what rows counted by themselves.
CREATE SEQUENCE row_versions START 1000000000;
ALTER TABLE certificates ALTER COLUMN version SET DEFAULT nextval('row_versions');
ALTER TABLE snis ALTER COLUMN version SET DEFAULT nextval('row_versions');
ALTER TABLE ca_certificates ALTER COLUMN version SET DEFAULT nextval('row_versions');
ALTER TABLE services ALTER COLUMN version SET DEFAULT nextval('row_versions');
ALTER TABLE routes ALTER COLUMN version SET DEFAULT nextval('row_versions');
ALTER TABLE upstreams ALTER COLUMN version SET DEFAULT nextval('row_versions');
ALTER TABLE targets ALTER COLUMN version SET DEFAULT nextval('row_versions');
ALTER TABLE consumers ALTER COLUMN version SET DEFAULT nextval('row_versions');
ALTER TABLE plugins ALTER COLUMN version SET DEFAULT nextval('row_versions');
ALTER TABLE mtls_auth_credentials ALTER COLUMN version SET DEFAULT nextval('row_versions');
ALTER TABLE acme_authorities ALTER COLUMN version SET DEFAULT nextval('row_versions');
ALTER TABLE acme_challenges ALTER COLUMN version SET DEFAULT nextval('row_versions');
ALTER TABLE ticket_secrets ALTER COLUMN version SET DEFAULT nextval('row_versions');
ALTER TABLE header_cert_auth_credentials ALTER COLUMN version SET DEFAULT nextval('row_versions');
