"""A tracked training: its options, the context that the user's code runs in, its summary."""

from .options import TrainingOptions
from .training import Training

__all__ = ["Training", "TrainingOptions"]
