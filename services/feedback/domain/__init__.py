"""The rules of feedback: facts that come in any order, what is known of one response, and what follows from it."""
