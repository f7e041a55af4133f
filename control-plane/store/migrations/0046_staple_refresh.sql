-- OCSP responses that control planes fetch (control-plane/acme/stapling.h): a row for each leaf of a certificate that has not been
-- looked at yet, that has a responder to ask, or that demands a response. A certificate without one has none.
CREATE TABLE certificate_staples (
	certificate uuid NOT NULL REFERENCES certificates (id) ON DELETE CASCADE,
	alt boolean NOT NULL,            -- of cert_alt
	next_fetch timestamptz DEFAULT now(), -- NULL: nobody to ask
	attempts integer NOT NULL DEFAULT 0,  -- failures in a row
	until timestamptz,               -- when the response that is stored ends; NULL: there is none
	must_staple boolean NOT NULL DEFAULT false,
	revoked_at timestamptz,          -- as the responder says; NULL: it does not
	revocation_reason integer,
	problem text,                    -- of the last attempt; NULL: it went well
	PRIMARY KEY (certificate, alt)
);
CREATE INDEX certificate_staples_due ON certificate_staples (next_fetch) WHERE next_fetch IS NOT NULL;
CREATE INDEX certificate_staples_watched ON certificate_staples (certificate)
	WHERE must_staple OR revoked_at IS NOT NULL OR problem IS NOT NULL;

-- Another leaf begins anew; another response of the same leaf is looked at.
CREATE FUNCTION cardea_staple_due(which uuid, of_alt boolean, anew boolean) RETURNS void LANGUAGE sql AS $$
	INSERT INTO certificate_staples AS s (certificate, alt) VALUES (which, of_alt)
	ON CONFLICT (certificate, alt) DO UPDATE SET next_fetch = now(),
		attempts = CASE WHEN anew THEN 0 ELSE s.attempts END,
		until = CASE WHEN NOT anew THEN s.until END,
		must_staple = NOT anew AND s.must_staple,
		revoked_at = CASE WHEN NOT anew THEN s.revoked_at END,
		revocation_reason = CASE WHEN NOT anew THEN s.revocation_reason END,
		problem = CASE WHEN NOT anew THEN s.problem END;
$$;

-- An import makes a hundred thousand: all of a statement at once.
CREATE FUNCTION cardea_note_new_staples() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO certificate_staples (certificate, alt) SELECT id, false FROM made
		UNION ALL SELECT id, true FROM made WHERE cert_alt IS NOT NULL;
	RETURN NULL;
END $$;

CREATE TRIGGER note_new_staples AFTER INSERT ON certificates
	REFERENCING NEW TABLE AS made FOR EACH STATEMENT EXECUTE FUNCTION cardea_note_new_staples();

CREATE FUNCTION cardea_note_staples() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.cert IS DISTINCT FROM OLD.cert OR NEW.ocsp_response IS DISTINCT FROM OLD.ocsp_response THEN
		PERFORM cardea_staple_due(NEW.id, false, NEW.cert IS DISTINCT FROM OLD.cert);
	END IF;
	IF NEW.cert_alt IS NULL THEN
		IF OLD.cert_alt IS NOT NULL THEN
			DELETE FROM certificate_staples WHERE certificate = NEW.id AND alt;
		END IF;
	ELSIF NEW.cert_alt IS DISTINCT FROM OLD.cert_alt OR NEW.ocsp_response_alt IS DISTINCT FROM OLD.ocsp_response_alt THEN
		PERFORM cardea_staple_due(NEW.id, true, NEW.cert_alt IS DISTINCT FROM OLD.cert_alt);
	END IF;
	RETURN NULL;
END $$;

CREATE TRIGGER note_staples AFTER UPDATE ON certificates
	FOR EACH ROW EXECUTE FUNCTION cardea_note_staples();

INSERT INTO certificate_staples (certificate, alt) SELECT id, false FROM certificates
	UNION ALL SELECT id, true FROM certificates WHERE cert_alt IS NOT NULL;

-- Whose certificate a responder calls revoked.
CREATE INDEX acme_orders_valid_certificate ON acme_orders (certificate_id) WHERE state = 'valid';
