-- The oldest version of TLS that a name's handshakes may use (Cardea's own); NULL: the data plane's.
ALTER TABLE snis ADD COLUMN tls_min_version text;
