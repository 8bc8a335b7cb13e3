"""Text to value and back: what a spec may say. Knows no torch and nothing that is installed."""

from .spec import Spec as Spec  # where pickles of earlier versions look for it
