"""What made a file: the version, the command, the model."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from noisefold.configuration import __version__

__all__ = ["provenance"]


def provenance(run: Path, command: str, **facts: Any) -> dict[str, Any]:
    """Return the version, the command, and the model by name and by the digest of its weights."""
    weights = next(
        (p for p in (run / "model.safetensors", run / "model" / "model.safetensors") if p.is_file()), None
    )
    digest = None if weights is None else hashlib.sha256(weights.read_bytes()).hexdigest()
    return {"noisefold": __version__, "command": command, "model": str(run), "weights": digest, **facts}
