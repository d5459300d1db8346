"""Records on their way to MLflow: on disk, in order, until MLflow has them."""
