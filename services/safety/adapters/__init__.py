"""What fulfils the ports: detectors by phrases and the folder of policies."""
