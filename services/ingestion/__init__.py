"""Ingestion: the door. Validates prompts and documents, once each, and says clearly why not."""
