"""One live module, changed by name, with all else as it was."""
