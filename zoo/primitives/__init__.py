"""What modifiers are made of: things that several of them do, and each built for itself."""
