"""Damaged stores and folders that are read as one (.zarr, matrices of 10x, shards), .laz and .parquet."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse

sys.path.insert(0, str(Path(__file__).parent))

from fuzz import _one, _rearranged, battery
from made_tissues import GENES, dense, tissue

from noisefold.data import load, write_shards
from noisefold.data.formats.parquet import write_parquet
from noisefold.geometry.graphs import Graphs

h5py = pytest.importorskip("h5py")
pytest.importorskip("zarr")
numcodecs = pytest.importorskip("numcodecs")


def files(folder):
    """Content of all files of a folder by name."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def zarr_store(folder, matrix, version):
    import anndata

    before = anndata.settings.zarr_write_format
    anndata.settings.zarr_write_format = version
    try:
        tissue(matrix, n=12).write_zarr(folder)
    finally:
        anndata.settings.zarr_write_format = before
    return files(folder)


def h5ad(path):
    data = tissue(n=12)
    data.raw = data
    data.write_h5ad(path, compression="gzip")
    return path.read_bytes()


def tenx(folder):
    data = tissue(n=12)
    counts = sparse.csr_matrix(dense(data.X))
    (folder / "spatial").mkdir(parents=True)
    with h5py.File(folder / "a.h5", "w") as file:
        group = file.create_group("matrix")
        group["barcodes"] = [name.encode() for name in data.obs_names]
        for name in ("data", "indices", "indptr"):
            group.create_dataset(name, data=getattr(counts, name), compression="gzip")
        group["shape"] = np.array(counts.shape[::-1])
        group["features/name"] = [g.encode() for g in GENES]
        group["features/id"] = [f"ENSG{i}".encode() for i in range(len(GENES))]
        group["features/feature_type"] = [b"Gene Expression"] * len(GENES)
    rows = [f"{n},1,{i},{i},{3 * i}.5,{i % 3}\n" for i, n in enumerate(data.obs_names)]
    (folder / "spatial" / "tissue_positions_list.csv").write_text("".join(rows))
    return files(folder)


def shards(folder):
    rng = torch.Generator().manual_seed(0)
    edges = torch.tensor([[0, 1, 7], [1, 2, 8]])
    parts = torch.randn(12, 3, generator=rng), torch.randn(12, 2, generator=rng)
    ptr, label = torch.tensor([0, 6, 12]), torch.tensor([0, 1])
    write_shards(
        [Graphs(*parts, ptr, edges, label=label, classes=("a", "b"), feature_names=("u", "v"))], folder
    )
    return files(folder)


def laz(point_format=3, version="1.2"):
    laspy = pytest.importorskip("laspy")
    pytest.importorskip("lazrs")
    made = laspy.LasData(laspy.LasHeader(point_format=point_format, version=version))
    made.x, made.y, made.z = np.random.default_rng(0).integers(0, 1000, (3, 50))
    made.intensity = np.arange(50)
    buffer = io.BytesIO()
    made.write(buffer, do_compress=True)
    return buffer.getvalue()


def parquet():
    pytest.importorskip("pyarrow")
    rng = torch.Generator().manual_seed(0)
    return write_parquet(
        Graphs(torch.randn(12, 3, generator=rng), torch.randn(12, 1, generator=rng), feature_names=("heat",))
    )


MAKERS = {
    "a.zarr": lambda folder: zarr_store(folder / "a.zarr", "csr", 2),
    "b.zarr": lambda folder: zarr_store(folder / "b.zarr", "dense", 3),
    "tenx": lambda folder: tenx(folder / "tenx"),
    "shards": lambda folder: shards(folder / "shards"),
    "a.h5ad": lambda folder: h5ad(folder / "a.h5ad"),
    "a.laz": lambda folder: laz(),
    "b.laz": lambda folder: laz(7, "1.4"),
    "a.parquet": lambda folder: parquet(),
}


def test_damaged_stores(tmp_path):
    counts = battery(
        {name: MAKERS[name](tmp_path) for name in ("a.zarr", "a.h5ad", "tenx", "shards")}, count=8
    )
    assert all(c["refused"] for c in counts.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", MAKERS)
def test_many_damaged_stores(name, tmp_path, capsys):
    content = MAKERS[name](tmp_path)
    with capsys.disabled():
        counts = battery({name: content}, count=2000, seed=1)
    assert counts[name].total() == 2000


def test_a_file_exchanged_within_a_store_is_seen(tmp_path):
    """What is mutated is what is read: not every rearrangement leaves a store as it was."""
    from random import Random

    outcomes = set()
    for i in range(12):
        folder = tmp_path / str(i) / "shards"
        content = MAKERS["shards"](folder.parent)
        there = sorted(folder / name for name in content)
        _rearranged(folder, there, Random(i))
        outcomes.add(_one(folder))
    assert outcomes <= {"read", "refused"}
    assert "refused" in outcomes


@pytest.mark.parametrize(
    ("name", "chunk"), [("a.zarr", "obsm/spatial/0.0"), ("b.zarr", "obsm/spatial/c/0/0")]
)
def test_a_chunk_that_declares_too_much_is_refused(name, chunk, tmp_path):
    MAKERS[name](tmp_path)
    file = tmp_path / name / chunk
    content = bytearray(file.read_bytes())
    if name == "a.zarr":  # Blosc
        content[4:8] = b"\xff" * 4
    else:  # Zstandard, with a size of 8 bytes
        content[4:6] = b"\xe0" + b"\xff" * 7 + b"\x0f"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=file.name):
        load(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "chunk", "codec"), [("a.zarr", "var/_index/0", "blosc"), ("b.zarr", "var/_index/c/0", "zstd")]
)
def test_texts_that_are_too_many_are_refused(name, chunk, codec, tmp_path):
    """Of each the library keeps a reference, before it looks for one."""
    MAKERS[name](tmp_path)
    file, codec = tmp_path / name / chunk, numcodecs.get_codec({"id": codec})
    texts = bytes(codec.decode(file.read_bytes()))
    file.write_bytes(codec.encode(b"\xff" * 4 + texts[4:]))
    with pytest.raises(ValueError, match=chunk.removeprefix("var/")):
        load(tmp_path / name)


def test_sound_stores_are_read(tmp_path):
    for name in ("a.zarr", "b.zarr", "shards"):
        MAKERS[name](tmp_path)
        assert load(tmp_path / name).num_nodes == 12
    tenx(tmp_path / "tenx")
    assert load(tmp_path / "tenx" / "a.h5").feature_names == GENES
