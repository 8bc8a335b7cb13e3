"""Text to value and back: what a spec may say. Knows no torch and nothing that is installed."""
