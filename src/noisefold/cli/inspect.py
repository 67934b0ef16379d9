"""``noisefold inspect``: what was understood of data, and the configuration that it suggests."""

from __future__ import annotations

from noisefold.cli.options import (
    Classes,
    Data,
    ForCompletion,
    Genes,
    Group,
    Hydrogens,
    Label,
    Level,
    Mask,
    Patch,
    Points,
    Pos,
    PropertyNames,
    Size,
    Skip,
    Time,
    Values,
    Vector,
    source_of,
)
from noisefold.cli.output import console, say

__all__ = ["inspect"]


def inspect(
    data: Data,
    points: Points = None,
    classes: Classes = None,
    pos: Pos = None,
    x: Values = None,
    genes: Genes = None,
    group: Group = None,
    time: Time = None,
    patch: Patch = 200,
    label: Label = None,
    skip: Skip = False,
    hydrogens: Hydrogens = False,
    properties: PropertyNames = None,
    size: Size = None,
    level: Level = None,
    vector: Vector = None,
    mask: Mask = None,
    for_completion: ForCompletion = False,
) -> None:
    """Say what was understood of the data, and the configuration it suggests."""
    import yaml

    from noisefold.data import describe_columns
    from noisefold.data.describe import describe
    from noisefold.data.images.modality import Pictures
    from noisefold.data.source import HELD_OUT
    from noisefold.domains import Request, domain_of, recipe_for

    source = source_of(
        data,
        points=points,
        classes=classes,
        pos=pos,
        x=x,
        genes=genes,
        group=group,
        time=time,
        patch=patch,
        label=label,
        skip=skip,
        size=size,
        level=level,
        vector=vector,
        mask=mask,
        hydrogens=hydrogens,
        properties=properties,
    )
    said = source.tissue().describe() if source.is_tissue else {}
    train = source.divided(HELD_OUT if source.is_tissue else 0.0)[0]
    domain = domain_of(train)
    said = {**said, **({} if source.is_tissue else describe(train)), "domain": domain.name}
    if source.is_tissue:
        said["learning"] = f"from {domain.training_graphs(train)}"
    for name, value in said.items():
        console.print(f"[bold]{name:>10}[/]", end="  ", highlight=False)
        say(value)
    plain = not source.is_tissue and data != "shapes" and not isinstance(train.modality, Pictures)
    for column in describe_columns(data, **source.named) if plain else []:
        say(f"    column  {column['name']}: {column['role']}{', ' * bool(column['why'])}{column['why']}")
    console.print(
        "\n# configuration; save it, change it, and give it to `noisefold train --config`", style="dim"
    )
    say(yaml.safe_dump(recipe_for(train, Request(for_completion)).plan, sort_keys=False))
