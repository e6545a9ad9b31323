"""Grounding: finds what is known about a prompt, adds the conversation so far, renders what the model shall read."""
