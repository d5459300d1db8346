"""Tests in a real JupyterLab and a real browser; run them in a process of their own."""
