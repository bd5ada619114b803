"""A whole system on one machine, of real processes: what the demo shows and the benchmarks measure."""
