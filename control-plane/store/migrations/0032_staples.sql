-- OCSP responses that are sent with certificates (Cardea's own); base64 of the DER; NULL: none.
ALTER TABLE certificates ADD COLUMN ocsp_response text, ADD COLUMN ocsp_response_alt text;
