"""Provisioning (Mesh Protocol 1.1, chapter 5): how a device becomes a node of the network.

Pure like `firmware_bridge.stack`: time and randomness are parameters, and nothing here does I/O, apart from
`session` and the bearers, which run the machines over a clock and a wire. Section numbers are those of the
specification.

    provisioner | device ── pdus ── pb_adv (links, transactions, segments) or pb_gatt ── bearer
"""
