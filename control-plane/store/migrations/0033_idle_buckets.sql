-- A budget that is full again, and that its authority does not block, is as one that was never used: it needs no row.
-- At most so many of them go; how many went. Reservations (acme_reserve) count on rows that they have just seen, so that none may be under way.
CREATE FUNCTION acme_prune_buckets(most integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
	idle CONSTANT text[] := ARRAY(SELECT key FROM acme_buckets WHERE tat < now() - interval '1 hour'
		AND (blocked_until IS NULL OR blocked_until < now() - interval '1 hour') LIMIT most);
	gone integer;
BEGIN
	IF cardinality(idle) = 0 THEN
		RETURN 0;
	END IF;
	LOCK TABLE acme_buckets IN SHARE ROW EXCLUSIVE MODE;
	DELETE FROM acme_buckets WHERE key = ANY (idle) AND tat < now() - interval '1 hour'
		AND (blocked_until IS NULL OR blocked_until < now() - interval '1 hour');
	GET DIAGNOSTICS gone = ROW_COUNT;
	RETURN gone;
END $$;
