-- What a webhook has not been told yet (control-plane/acme/notices.h).
CREATE TABLE acme_notices (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	at timestamptz NOT NULL DEFAULT now(),
	body jsonb NOT NULL,
	attempts integer NOT NULL DEFAULT 0,
	next_attempt timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX acme_notices_due ON acme_notices (next_attempt);

CREATE FUNCTION acme_notice(event text, o acme_orders) RETURNS jsonb AS $$
	SELECT jsonb_build_object('event', event, 'host', o.host,
		'hosts', to_jsonb(string_to_array(concat_ws(' ', o.host, nullif(o.more, '')), ' ')),
		'order', o.id, 'state', o.state, 'renewal', o.renewal, 'authority', o.ca, 'certificate', o.certificate_id,
		'attempts', o.attempts, 'not_after', extract(epoch FROM coalesce(o.not_after, (SELECT v.not_after FROM acme_orders v WHERE v.id = o.renews)))::bigint, 'problem', o.problem,
		'unpause_url', o.unpause_url);
$$ LANGUAGE sql STABLE;

-- Renewals that their owner fails are told too when the certificate expires soon.
DROP INDEX acme_orders_urgent;
CREATE INDEX acme_orders_urgent ON acme_orders (urgent_at)
	WHERE lane IN (1, 3) AND urgent_at IS NOT NULL AND state NOT IN ('valid', 'failed', 'parked');
