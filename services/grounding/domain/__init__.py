"""What grounding decides: reading, chunking, choosing sources, remembering turns, rendering. No I/O."""
