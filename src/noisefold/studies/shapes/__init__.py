"""Studies of point clouds: architectures, the default network, class conditioning, the shipped model."""
