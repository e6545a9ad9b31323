"""The gateway: OpenAI-compatible HTTP in front of the bus. One more upstream; it keeps nothing but open connections."""
