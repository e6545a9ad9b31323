"""What a gate asks, and whether a candidate passes it. Knows no Kafka, no torch and no files."""
