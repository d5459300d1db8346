"""The MLflow side: runs, models, what is written to them and read from them."""
