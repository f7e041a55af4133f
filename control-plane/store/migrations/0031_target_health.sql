-- What data planes say of targets, for every control plane (fleet/health_share.h). Written without waiting for the disk: a row that is
-- lost is written again by the control plane that the data plane has its stream to.
CREATE TABLE target_health (
	control_plane uuid NOT NULL,  -- that wrote it; counts as long as the node is that one's
	node uuid NOT NULL,
	target uuid NOT NULL,
	address text NOT NULL,        -- "192.0.2.1:80"; '' for a name without one
	weight integer NOT NULL,
	state smallint NOT NULL,      -- TargetHealth.State: 1 healthy, 2 unhealthy, 3 no address
	told timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (control_plane, node, target, address)
);
CREATE INDEX target_health_target ON target_health (target);
