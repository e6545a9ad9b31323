"""Shared libraries: the delivery core, telemetry, models, embeddings, settings."""
