"""What a person asks of a model: what is there, what it costs, what was changed, what differs."""
