"""What safety knows by itself: text, findings, placeholders, masking, redaction, policy. No Kafka, no files."""
