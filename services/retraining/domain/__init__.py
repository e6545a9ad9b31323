"""What is trained, when, and on which rows. Knows no Kafka, no torch and no files."""
