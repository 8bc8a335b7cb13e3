"""Who offers what, and what a spec means by it. Nothing is built."""
