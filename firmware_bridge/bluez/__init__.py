"""A thin typed client of one `bluetooth-meshd` (BlueZ 5.66 to 5.83) over D-Bus, and what runs on it."""
