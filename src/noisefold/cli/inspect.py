"""``noisefold inspect``: what was understood of data, and the configuration that it suggests."""

from __future__ import annotations

from noisefold.cli.options import Data, ForCompletion
from noisefold.cli.output import console, say
from noisefold.cli.reading import Reading, reads_data

__all__ = ["inspect"]


@reads_data
def inspect(data: Data, *, reading: Reading, for_completion: ForCompletion = False) -> None:
    """Say what was understood of the data, and the configuration it suggests."""
    import yaml

    from noisefold.data import describe_columns
    from noisefold.data.describe import describe
    from noisefold.data.images.modality import Pictures
    from noisefold.data.source import HELD_OUT
    from noisefold.domains import Request, domain_of, recipe_for

    source = reading.source(data)
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
