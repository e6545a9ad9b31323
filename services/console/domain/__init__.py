"""The console's rules: what a batch line, a document file, a dead letter and a prompt's way are. Knows no Kafka."""
