"""A model from a plan, for `create`, `modify` and `load` alike."""
