"""What runs in a job's own process: the only place that imports torch, MLflow and their kin."""
