"""What a model costs: the metrics, layers, profiles, their JSON, and what changed between two of them."""
