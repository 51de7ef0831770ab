"""What was found, in each reader's own form."""
