"""Post-processing: makes the one outcome of each prompt. The only writer of response-ready and reply."""
