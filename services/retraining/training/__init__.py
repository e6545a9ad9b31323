"""A training, in a process of its own: torch's memory goes with it, and it may be killed at any moment.

`python -m services.retraining.training FOLDER` does the job that lies there, from its last whole checkpoint.
"""
