"""The inference service: cleared prompts in, what the model writes out."""
