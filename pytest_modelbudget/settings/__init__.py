"""``[tool.modelbudget]`` of a pyproject.toml: read into typed settings that know where they stand."""
