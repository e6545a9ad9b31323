"""What inference knows by itself: sentence windows, the exact cache, JSON output, generations under way."""
