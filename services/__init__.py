"""One folder per service; they meet on the bus and never import one another."""
