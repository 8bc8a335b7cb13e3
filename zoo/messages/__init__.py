"""What a person reads: errors, the words in them, and findings as text, tree and HTML."""
