-- A transaction may be about several entities: the note is one of them or an array.
CREATE OR REPLACE FUNCTION cardea_take_revision_noted(op uuid, note jsonb) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	taken bigint := cardea_take_revision(op);
	one jsonb;
BEGIN
	FOR one IN SELECT jsonb_array_elements(CASE WHEN jsonb_typeof(note) = 'array' THEN note ELSE jsonb_build_array(note) END) LOOP
		IF taken > 0 OR NOT one ? 'if_changed' THEN
			PERFORM cardea_note(one, nullif(taken, 0));
		END IF;
	END LOOP;
	RETURN taken;
END $$;
