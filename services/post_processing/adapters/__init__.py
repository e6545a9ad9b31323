"""Post-processing's ports, on real parts."""
