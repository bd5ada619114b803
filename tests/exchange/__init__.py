"""Tasks between machines: the parts on both ends of a wire that loses, doubles and delays."""
