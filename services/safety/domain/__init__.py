"""What safety knows by itself: pieces, judgement, masking, redaction, policy. No Kafka, no files."""
