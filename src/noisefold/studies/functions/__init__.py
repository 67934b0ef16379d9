"""Studies of random functions."""
