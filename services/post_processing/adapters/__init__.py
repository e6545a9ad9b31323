"""What fulfils the ports: the key file that opens sealed boxes."""
