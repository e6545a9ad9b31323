"""What the commands do, over the log's port: the same on Kafka and in memory."""
