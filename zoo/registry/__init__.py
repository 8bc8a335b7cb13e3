"""Who offers what: plugins found, loaded and asked, and the names of what they declare."""
