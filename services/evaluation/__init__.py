"""The evaluation service: candidates are examined against the champion; what passes the gate serves."""
