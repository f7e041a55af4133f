-- Plugins name authorities in their config (mtls-auth, header-cert-auth). Those exist, and stay as long as they are named: a plugin
-- without them would let nobody in, or everybody. The error of one that is not there carries its id in place of a constraint's name.
CREATE FUNCTION cardea_plugin_authorities() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	named text;
BEGIN
	FOR named IN SELECT jsonb_array_elements_text(NEW.config -> 'ca_certificates') LOOP
		-- Locked: it cannot go before this transaction ends.
		PERFORM 1 FROM ca_certificates WHERE id = named::uuid FOR KEY SHARE;
		IF NOT FOUND THEN
			RAISE EXCEPTION 'there is no such authority' USING ERRCODE = 'CA005', TABLE = 'ca_certificates', CONSTRAINT = named;
		END IF;
	END LOOP;
	RETURN NEW;
END $$;
CREATE TRIGGER authorities BEFORE INSERT OR UPDATE OF config ON plugins FOR EACH ROW
	WHEN (jsonb_typeof(NEW.config -> 'ca_certificates') = 'array') EXECUTE FUNCTION cardea_plugin_authorities();
CREATE INDEX plugins_authorities ON plugins USING gin ((config -> 'ca_certificates'));

CREATE OR REPLACE FUNCTION cardea_keep_used_authority() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	used_by uuid;
BEGIN
	SELECT id INTO used_by FROM services WHERE ca_certificates @> ARRAY[OLD.id::text] LIMIT 1;
	IF used_by IS NOT NULL THEN
		RAISE EXCEPTION 'the authority is still referenced' USING ERRCODE = 'CA004', TABLE = 'services', CONSTRAINT = used_by::text;
	END IF;
	SELECT id INTO used_by FROM plugins WHERE config -> 'ca_certificates' @> to_jsonb(ARRAY[OLD.id::text]) LIMIT 1;
	IF used_by IS NOT NULL THEN
		RAISE EXCEPTION 'the authority is still referenced' USING ERRCODE = 'CA004', TABLE = 'plugins', CONSTRAINT = used_by::text;
	END IF;
	RETURN OLD;
END $$;
