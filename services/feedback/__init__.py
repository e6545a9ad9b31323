"""Feedback: what people say of answers becomes examples, the same ones in whatever order it comes."""
