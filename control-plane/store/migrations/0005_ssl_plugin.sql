-- The pair of an ssl plugin is the certificate that has the plugin's id (control-plane/admin/plugin_certificate.h): it goes with
-- the plugin, whatever takes that away, be it its route or its service.
CREATE FUNCTION cardea_drop_plugin_certificate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM certificates WHERE id = OLD.id;
	RETURN NULL;
END $$;
CREATE TRIGGER drop_certificate AFTER DELETE ON plugins FOR EACH ROW WHEN (OLD.name = 'ssl')
	EXECUTE FUNCTION cardea_drop_plugin_certificate();
