"""Safety: the gate on the prompt path. Nothing reaches a model, and no answer leaves, that it has not examined."""
