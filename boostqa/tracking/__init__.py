"""What a stage read, wrote, dropped and paid: its rows of the `run` table, Delta's commit metadata, its MLflow run."""
