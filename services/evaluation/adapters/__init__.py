"""What evaluation's ports are made of: processes, folders, the log, MLflow."""
