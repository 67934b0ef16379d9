"""What suits which kind of data: network, path, transformation, training, split and scores."""

from __future__ import annotations

from typing import Any

from noisefold.domains.clouds import PointClouds
from noisefold.domains.directed_graphs import DirectedGraphs
from noisefold.domains.domain import Domain
from noisefold.domains.fields import Fields
from noisefold.domains.functions import Functions
from noisefold.domains.geometric_graphs import GeometricGraphs
from noisefold.domains.graphs import DiscreteGraphs
from noisefold.domains.images import Images
from noisefold.domains.latent_graphs import LatentGraphs
from noisefold.domains.molecules import Molecules
from noisefold.domains.molecules_3d import Molecules3D
from noisefold.domains.planar_graphs import PlanarGraphs
from noisefold.domains.recipe import Recipe, Request
from noisefold.domains.sphere_functions import SphereFunctions
from noisefold.domains.tissues import Tissues
from noisefold.geometry.graphs import Graphs
from noisefold.noise.variable import Variable, variable_of

__all__ = [
    "DOMAINS",
    "DirectedGraphs",
    "DiscreteGraphs",
    "Domain",
    "Fields",
    "Functions",
    "GeometricGraphs",
    "Images",
    "LatentGraphs",
    "Molecules",
    "Molecules3D",
    "PlanarGraphs",
    "PointClouds",
    "Recipe",
    "Request",
    "SphereFunctions",
    "Tissues",
    "domain_of",
    "recipe_for",
]

DOMAINS: tuple[Domain, ...] = (
    Images(),
    Tissues(),
    Molecules3D(),
    Molecules(),
    DirectedGraphs(),
    GeometricGraphs(),
    PlanarGraphs(),
    LatentGraphs(),
    DiscreteGraphs(),
    SphereFunctions(),
    Functions(),
    Fields(),
    PointClouds(),
)
"""Domains, in the order in which they are asked."""


def domain_of(data: Graphs, variable: Variable[Any] | None = None) -> Domain:
    """Return the first domain that a data set fits, for a model of a variable or for any.

    Raises
    ------
    ValueError
        If there is none.
    """
    for domain in DOMAINS:
        if domain.fits(data, variable):
            return domain
    raise ValueError(f"no domain fits {data}; known are {', '.join(d.name for d in DOMAINS)}.")


def recipe_for(data: Graphs, request: Request) -> Recipe:
    """Return the recipe of the domain that the data fit, for the variable that the request names, if any.

    Raises
    ------
    ValueError
        If there is no such domain.
    """
    named = [request.variable, *(change.get("variable") for change in request.changes)]
    name = next((name for name in reversed(named) if name is not None), None)
    return domain_of(data, None if name is None else variable_of(name)).recipe(data, request)
