"""Indexes and template files: what grounding reaches outside itself for."""
