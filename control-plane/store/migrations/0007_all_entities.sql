-- Data planes hold every entity from here on. What they held before lacks the others, however new it is: another epoch makes them
-- take a snapshot. The last number counts such changes.
CREATE OR REPLACE FUNCTION cardea_epoch() RETURNS text LANGUAGE sql STABLE AS $$
	SELECT c.id || '.' || s.system_identifier || '.' || k.timeline_id || '.' || c.tableoid || '.2'
	FROM cluster c, pg_control_system() s, pg_control_checkpoint() k
$$;
