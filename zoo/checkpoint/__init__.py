"""One file is the model: saving, loading, resuming, converting."""
