"""What fulfils the ports: pattern detectors and the folder of policies."""
