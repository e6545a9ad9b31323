"""Engines behind the port: Ray Serve replicas of our own, any OpenAI-compatible endpoint, an echo."""
