"""Retraining: data sets and requests in, trained adapters out."""
