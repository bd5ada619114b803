"""Observations as files for other programs: CSV and Parquet."""
