"""The layers of Bluetooth Mesh (Mesh Protocol 1.1) as pure functions and state machines.

Nothing here does I/O or looks at a clock: time and randomness are parameters. Section numbers in docstrings
are those of the Mesh Protocol 1.1 specification.

    access payload ── upper (keys, MIC) ── lower (segments) ── network (NetMIC, obfuscation) ── bearer
"""
