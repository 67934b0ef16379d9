"""Operations of a network, counted as it runs."""

import torch

from noisefold.geometry import Graphs
from noisefold.nn import Latents
from noisefold.nn.flops import count_flops


def test_operations_of_latents_are_those_of_its_products():
    width, latents, wide, nodes = 8, 3, 16, 5
    net = Latents(width=width, latents=latents, latent_width=wide, rounds=1, blocks=0, heads=2)

    def flops(count):
        return count_flops(net, Graphs.dense(torch.randn(count, nodes, 3)), torch.zeros(count))

    # Of a point: the perceptron that lifts it, keys and values, both products of reading, query, both
    # products of writing, the map of what was written, the perceptron, and the head.
    lift = net.fourier.width * width + width * width
    point = lift + width * 2 * wide + 2 * latents * wide + width * width + 2 * latents * width + width * width
    point += 2 * 4 * width * width + 3 * width
    latent = wide * wide * 2 + wide * 2 * width  # queries and map of reading; keys and values of writing
    # Modulations and the level's own network are of graphs, not of points; one graph more adds all of it.
    per_graph = flops(2) - flops(1)
    small = count_flops(net, Graphs.dense(torch.randn(1, 2 * nodes, 3)), torch.zeros(1)) - flops(1)
    assert small == 2 * nodes * point
    assert per_graph > 2 * (nodes * point + latents * latent)
    assert all(p.requires_grad for p in net.parameters())
