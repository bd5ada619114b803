"""Task graphs on a gateway: taken in, placed, run, watched, and told of. Light until the first is asked."""
