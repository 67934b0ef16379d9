"""NetCDF files and gridded zarr folders, opened as data sets of xarray."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from noisefold.data.earth.libraries import xarray_libraries
from noisefold.data.formats.arrays import parsing
from noisefold.data.formats.guard import check_size
from noisefold.data.formats.heaps import check_heaps
from noisefold.data.formats.stores import Store

__all__ = ["ENDINGS", "decoded", "is_gridded", "opened_grid"]

ENDINGS = (".nc", ".nc4", ".cdf", ".netcdf")
"""Endings of NetCDF files."""
_HDF, _CLASSIC = b"\x89HDF\r\n\x1a\n", (b"CDF\x01", b"CDF\x02")
_OF_TISSUES = ("obs", "var", "tables", "table", "points", "shapes", "images", "labels")


def is_gridded(path: str | os.PathLike[str]) -> bool:
    """Return whether this is a NetCDF file, or a .zarr folder of arrays with named dimensions."""
    path = Path(path)
    if path.suffix.lower() in ENDINGS:
        return True
    if path.suffix.lower() != ".zarr" or not path.is_dir():
        return False
    try:
        folders = [p for p in path.iterdir() if p.is_dir()]
    except OSError:
        return False
    if any(p.name in _OF_TISSUES for p in folders):
        return False
    return any(_names_dimensions(p) for p in folders)


def _names_dimensions(folder: Path) -> bool:
    """Whether a folder is an array of zarr that says what its dimensions are called."""
    for name, word in ((".zattrs", b"_ARRAY_DIMENSIONS"), ("zarr.json", b'"dimension_names"')):
        file = folder / name
        if file.is_file():
            with file.open("rb") as stream:
                return word in stream.read(1 << 16)
    return False


@contextmanager
def opened_grid(source: Path | bytes) -> Iterator[Any]:
    """Open a file or a folder, or the bytes of a file, as a data set whose values are read when asked for.

    Raises
    ------
    ImportError
        If a library is not installed.
    ValueError
        If it is damaged, or none of these.
    """
    xarray, _ = xarray_libraries()
    how: dict[str, Any] = {
        "decode_times": False,
        "decode_timedelta": False,
        "decode_coords": "all",
        "cache": False,
    }
    if isinstance(source, Path) and source.is_dir():
        _check_zarr(source)
        how |= {"engine": "zarr", "consolidated": (source / ".zmetadata").is_file()}
        file: Any = source
    else:
        head = _head(source)
        if head.startswith(_CLASSIC):
            how["engine"] = "scipy"
        elif head.startswith(_HDF):
            how["engine"] = "h5netcdf"
            _check_hdf(source)
        elif head.startswith(b"CDF"):
            raise ValueError("the file is NetCDF of 64-bit data (CDF-5); convert it with nccopy -k nc4.")
        else:
            raise ValueError("this is no NetCDF file; write it with to_netcdf of xarray.")
        file = io.BytesIO(source) if isinstance(source, bytes) else source
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of fill values that fit no integer, which are not in use
        with parsing():
            data = xarray.open_dataset(file, **how)
        with data:
            if not data.variables:
                raise ValueError("it has no variables but groups; save the group that is wanted by itself.")
            yield data


def decoded(data: Any) -> Any:
    """Return a data set or an array in memory as one whose packed values are scaled.

    Raises
    ------
    ValueError
        If scaling is asked for in a way that cannot be.
    """
    xarray, _ = xarray_libraries()
    if isinstance(data, xarray.DataArray):
        data = data.to_dataset(name=data.name or "values")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return xarray.decode_cf(data, decode_times=False, decode_timedelta=False)


def _head(source: Path | bytes) -> bytes:
    if isinstance(source, bytes):
        return source[:8]
    with source.open("rb") as stream:
        return stream.read(8)


def _check_hdf(source: Path | bytes) -> None:
    """Refuse a file whose texts or declared sizes cannot be."""
    try:
        import h5py
    except ImportError as error:
        raise ImportError("NetCDF 4 files need h5netcdf; run pip install 'noisefold[earth]'.") from error
    if isinstance(source, bytes):
        with parsing(), h5py.File(io.BytesIO(source), "r") as file:
            declared = sum(v.size * v.dtype.itemsize for v in file.values() if hasattr(v, "shape"))
        check_size(declared, len(source), "the file")
        return
    check_heaps(source)
    with parsing():
        file = h5py.File(source, "r")
    with file:
        _check_all(Store(file, source))


def _check_zarr(source: Path) -> None:
    try:
        import zarr
    except ImportError as error:
        raise ImportError(".zarr folders need zarr; run pip install 'noisefold[earth]'.") from error
    with parsing():
        store = Store(zarr.open_group(str(source), mode="r"), source)
    _check_all(store)


def _check_all(store: Store) -> None:
    names = store.keys()
    for name in names:
        store.check(name)
