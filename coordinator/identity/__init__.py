"""Who is who: the certificate authority, what it signs, and the registry of gateways."""
