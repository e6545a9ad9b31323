"""An examination, in a process of its own: torch's memory goes with it, and it may be killed at any moment.

`python -m services.evaluation.examination FOLDER` does the exam that lies there; what was done of it is kept.
"""
