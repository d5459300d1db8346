"""The foreign libraries: `import feast` and `import mlflow` stand only here, inside functions."""
