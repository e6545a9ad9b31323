"""What images need beside their service: a completeness proof, a health check, topics, and keys for a first start."""
