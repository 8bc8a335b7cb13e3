"""One modifier under guard: what it did is found out, held against the promises, taken back if it fails."""
