"""Studies of random functions: regression, fields, and how both grow with the dimension."""
