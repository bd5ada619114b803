"""Who this gateway is to broker and coordinator: the certificate in use, and its renewal."""
