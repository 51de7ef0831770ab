"""Words, shares, tables and files: what knows nothing of models."""
