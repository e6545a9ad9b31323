"""What becomes of a cleared completion: tidied, formatted, cited, restored. Knows no Kafka and no keys."""
