"""Studies of discrete graphs."""
