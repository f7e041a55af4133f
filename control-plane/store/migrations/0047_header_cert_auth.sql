-- Consumers by a name in the certificate of a header (kong-acme-hybrid.md 5.2). With its authority goes the mapping: it must not begin
-- to hold for certificates of others.
CREATE TABLE header_cert_auth_credentials (
	id uuid PRIMARY KEY,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	version bigint NOT NULL DEFAULT 1,
	tags text[],
	consumer uuid NOT NULL CONSTRAINT header_cert_auth_credentials_consumer_fkey REFERENCES consumers (id) ON DELETE CASCADE,
	subject_name text NOT NULL,
	ca_certificate uuid CONSTRAINT header_cert_auth_credentials_ca_certificate_fkey REFERENCES ca_certificates (id) ON DELETE CASCADE
);
-- An absent authority counts as one.
CREATE UNIQUE INDEX header_cert_auth_credentials_composite_key ON header_cert_auth_credentials (subject_name,
	coalesce(ca_certificate, '00000000-0000-0000-0000-000000000000'));
CREATE INDEX header_cert_auth_credentials_consumer ON header_cert_auth_credentials (consumer);
CREATE INDEX header_cert_auth_credentials_ca_certificate ON header_cert_auth_credentials (ca_certificate);
CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON header_cert_auth_credentials
	FOR EACH ROW EXECUTE FUNCTION cardea_note_change();
