"""What our own node asks and monitors, whatever carries its messages: a daemon's D-Bus or our own stack."""
