-- What happened to an order, oldest first, the last 64 entries (control-plane/acme/timeline.h).
ALTER TABLE acme_orders ADD COLUMN events jsonb NOT NULL DEFAULT '[]';

CREATE FUNCTION acme_events(had jsonb, more jsonb) RETURNS jsonb AS $$
	SELECT CASE
		WHEN jsonb_array_length(more) = 0 THEN had
		WHEN jsonb_array_length(had) + jsonb_array_length(more) <= 64 THEN had || more
		ELSE (SELECT jsonb_agg(e ORDER BY n) FROM (
			SELECT e, n FROM jsonb_array_elements(had || more) WITH ORDINALITY x (e, n) ORDER BY n DESC LIMIT 64) last)
		END;
$$ LANGUAGE sql IMMUTABLE;

-- One entry, by this clock, for what happens to an order in SQL alone.
CREATE FUNCTION acme_event(event text, detail text) RETURNS jsonb AS $$
	SELECT jsonb_build_array(jsonb_strip_nulls(jsonb_build_object('at', round(extract(epoch FROM now())::numeric, 3), 'event', event, 'detail', detail)));
$$ LANGUAGE sql STABLE;
