"""The libraries that read and write NetCDF, which are no dependency of all users."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["is_xarray", "xarray_libraries"]


def xarray_libraries() -> tuple[Any, Any]:
    """Return the modules xarray and cf_xarray.

    Raises
    ------
    ImportError
        If they are not installed.
    """
    try:
        import cf_xarray
        import xarray
    except ImportError as error:
        raise ImportError(
            "NetCDF and gridded zarr need xarray and cf-xarray; run pip install 'noisefold[earth]'."
        ) from error
    return xarray, cf_xarray


def is_xarray(source: Any) -> bool:
    """Return whether an object is a `Dataset` or a `DataArray` of xarray."""
    xarray = sys.modules.get("xarray")
    return xarray is not None and isinstance(source, xarray.Dataset | xarray.DataArray)
