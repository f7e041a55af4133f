-- Services, routes, upstreams, targets, consumers, plugins and authorities (kong-admin-api.md 2.3 to 2.9).

CREATE TABLE ca_certificates (
	id uuid PRIMARY KEY,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	version bigint NOT NULL DEFAULT 1,
	tags text[],
	cert text NOT NULL,
	cert_digest text NOT NULL CONSTRAINT ca_certificates_cert_digest_key UNIQUE
);

CREATE TABLE services (
	id uuid PRIMARY KEY,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	version bigint NOT NULL DEFAULT 1,
	tags text[],
	name text CONSTRAINT services_name_key UNIQUE,
	retries integer,
	protocol text NOT NULL,
	host text NOT NULL,
	port integer NOT NULL,
	path text,
	connect_timeout integer,
	write_timeout integer,
	read_timeout integer,
	client_certificate uuid CONSTRAINT services_client_certificate_fkey REFERENCES certificates (id),
	tls_verify boolean,
	tls_verify_depth integer,
	ca_certificates text[], -- ids, which need not exist
	enabled boolean NOT NULL
);
CREATE INDEX services_client_certificate ON services (client_certificate);
CREATE INDEX services_ca_certificates ON services USING gin (ca_certificates);

-- An authority that a service names stays. The error carries the service: its id in place of a constraint's name.
CREATE FUNCTION cardea_keep_used_authority() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	used_by uuid;
BEGIN
	SELECT id INTO used_by FROM services WHERE ca_certificates @> ARRAY[OLD.id::text] LIMIT 1;
	IF used_by IS NOT NULL THEN
		RAISE EXCEPTION 'the authority is still referenced' USING ERRCODE = 'CA004', TABLE = 'services', CONSTRAINT = used_by::text;
	END IF;
	RETURN OLD;
END $$;
CREATE TRIGGER keep_used BEFORE DELETE ON ca_certificates FOR EACH ROW EXECUTE FUNCTION cardea_keep_used_authority();

CREATE TABLE routes (
	id uuid PRIMARY KEY,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	version bigint NOT NULL DEFAULT 1,
	tags text[],
	name text CONSTRAINT routes_name_key UNIQUE,
	protocols text[] NOT NULL,
	https_redirect_status_code integer NOT NULL,
	strip_path boolean NOT NULL,
	preserve_host boolean NOT NULL,
	request_buffering boolean NOT NULL,
	response_buffering boolean NOT NULL,
	snis text[],
	sources jsonb,
	destinations jsonb,
	methods text[],
	hosts text[],
	paths text[],
	headers jsonb,
	regex_priority bigint,
	path_handling text,
	service uuid CONSTRAINT routes_service_fkey REFERENCES services (id)
);
CREATE INDEX routes_service ON routes (service);

CREATE TABLE upstreams (
	id uuid PRIMARY KEY,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	version bigint NOT NULL DEFAULT 1,
	tags text[],
	name text NOT NULL CONSTRAINT upstreams_name_key UNIQUE,
	algorithm text,
	hash_on text,
	hash_fallback text,
	hash_on_header text,
	hash_fallback_header text,
	hash_on_cookie text,
	hash_on_cookie_path text,
	hash_on_query_arg text,
	hash_fallback_query_arg text,
	hash_on_uri_capture text,
	hash_fallback_uri_capture text,
	slots integer,
	healthchecks jsonb,
	host_header text,
	client_certificate uuid CONSTRAINT upstreams_client_certificate_fkey REFERENCES certificates (id),
	use_srv_name boolean
);
CREATE INDEX upstreams_client_certificate ON upstreams (client_certificate);

CREATE TABLE targets (
	id uuid PRIMARY KEY,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	version bigint NOT NULL DEFAULT 1,
	tags text[],
	target text NOT NULL,
	weight integer,
	upstream uuid NOT NULL CONSTRAINT targets_upstream_fkey REFERENCES upstreams (id) ON DELETE CASCADE,
	CONSTRAINT targets_composite_key UNIQUE (upstream, target)
);
CREATE INDEX targets_newest ON targets (upstream, created_at DESC, id DESC);

CREATE TABLE consumers (
	id uuid PRIMARY KEY,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	version bigint NOT NULL DEFAULT 1,
	tags text[],
	username text CONSTRAINT consumers_username_key UNIQUE,
	custom_id text CONSTRAINT consumers_custom_id_key UNIQUE
);

CREATE TABLE plugins (
	id uuid PRIMARY KEY,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	version bigint NOT NULL DEFAULT 1,
	tags text[],
	name text NOT NULL,
	instance_name text CONSTRAINT plugins_instance_name_key UNIQUE,
	route uuid CONSTRAINT plugins_route_fkey REFERENCES routes (id) ON DELETE CASCADE,
	service uuid CONSTRAINT plugins_service_fkey REFERENCES services (id) ON DELETE CASCADE,
	consumer uuid CONSTRAINT plugins_consumer_fkey REFERENCES consumers (id) ON DELETE CASCADE,
	config jsonb NOT NULL,
	protocols text[] NOT NULL,
	enabled boolean NOT NULL
);
-- Absent scopes count as equal.
CREATE UNIQUE INDEX plugins_composite_key ON plugins (name,
	coalesce(route, '00000000-0000-0000-0000-000000000000'), coalesce(service, '00000000-0000-0000-0000-000000000000'),
	coalesce(consumer, '00000000-0000-0000-0000-000000000000'));
CREATE INDEX plugins_route ON plugins (route);
CREATE INDEX plugins_service ON plugins (service);
CREATE INDEX plugins_consumer ON plugins (consumer);

CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON ca_certificates
	FOR EACH ROW EXECUTE FUNCTION cardea_note_change();
CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON services
	FOR EACH ROW EXECUTE FUNCTION cardea_note_change();
CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON routes
	FOR EACH ROW EXECUTE FUNCTION cardea_note_change();
CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON upstreams
	FOR EACH ROW EXECUTE FUNCTION cardea_note_change();
CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON targets
	FOR EACH ROW EXECUTE FUNCTION cardea_note_change();
CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON consumers
	FOR EACH ROW EXECUTE FUNCTION cardea_note_change();
CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON plugins
	FOR EACH ROW EXECUTE FUNCTION cardea_note_change();
