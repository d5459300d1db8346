"""Random lives of runs, with deaths and outages, against a real MLflow server behind a bad line."""
