"""Graph transformer: a network on the classes of nodes and pairs of nodes."""
