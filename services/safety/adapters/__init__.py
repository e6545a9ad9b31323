"""What fulfils the ports: the folder of policies."""
