"""What models cost at other revisions of the repository."""
