"""What post-processing knows by itself: clean text, restoration, JSON output, citations, outcomes. No Kafka."""
