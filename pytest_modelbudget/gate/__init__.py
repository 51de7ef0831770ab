"""Profiles held against limits and against what they cost before."""
