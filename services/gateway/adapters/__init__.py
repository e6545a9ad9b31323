"""The gateway's outside: the bus, the file of keys, and HTTP."""
