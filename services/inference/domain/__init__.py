"""What inference knows by itself: what serves, sentence windows, the exact cache, JSON output, what is under way."""
