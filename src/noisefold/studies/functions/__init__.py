"""Studies of random functions: regression, fields of vectors, stations, tracks, and their dimension."""
