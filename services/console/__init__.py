"""The console: the `tailrace` command. Starts the local stack, asks, feeds, runs batches, and shows what happened."""
