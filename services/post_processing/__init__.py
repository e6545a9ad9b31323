"""Post-processing: the end of the path. The only writer of outcomes and replies."""
