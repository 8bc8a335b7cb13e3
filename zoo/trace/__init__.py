"""What a forward would do, without doing it."""
