"""Tailrace package."""
