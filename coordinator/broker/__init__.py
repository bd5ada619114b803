"""The MQTT broker as the coordinator runs it: configuration, access list, process."""
