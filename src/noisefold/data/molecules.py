"""Molecules as graphs, and back, by RDKit: the extra ``noisefold[chem]``.

A node is an atom, with its element and formal charge as the type: ``"C"``, ``"N"``, ``"N+"``, ``"O-"``,
``"Ca+2"``. An edge is a bond of type ``"single"``, ``"double"`` or ``"triple"``: molecules are kekulised, so
that there is no aromatic bond. Hydrogens are not nodes; each atom's number of them follows from its valence.
Stereochemistry, isotopes, unpaired electrons, and hydrogens that the valence does not say, are not kept.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from noisefold.geometry.graphs import Graphs

__all__ = [
    "BONDS",
    "Table",
    "chemistry",
    "first_line",
    "from_rdkit",
    "graphs_of",
    "is_molecular",
    "table_of",
    "to_rdkit",
    "to_smiles",
    "without_hydrogens",
]

BONDS = ("single", "double", "triple")
"""Names of the types of bonds."""

_COMMON = frozenset(re.findall("[A-Z][a-z]?", "HLiBCNOFNaMgAlSiPSClKCaFeCuZnGeAsSeBrSnTeI"))
_TYPE = re.compile(r"([A-Z][a-z]?|\*)(?:([+-])(\d*))?")


def chemistry() -> Any:
    """Return RDKit's module `Chem`.

    Raises
    ------
    ImportError
        If RDKit is not installed; the message says how to install it.
    """
    try:
        from rdkit import Chem
    except ImportError as error:
        raise ImportError("molecules need rdkit; install it with: pip install noisefold[chem]") from error
    return Chem


def is_molecular(graphs: Graphs) -> bool:
    """Return whether all types of nodes are named as atoms, and all of edges as bonds."""
    atoms = [_TYPE.fullmatch(name) for name in graphs.node_types]
    known = {found[1] for found in atoms if found is not None} <= _COMMON
    return bool(atoms) and None not in atoms and known and set(graphs.edge_types) <= set(BONDS)


def from_rdkit(molecules: Iterable[Any], *, hydrogens: bool = False) -> Graphs:
    """Return molecules of RDKit as graphs, atoms in their order.

    Positions are those of the first conformer, in angstrom, ``[n, 3]``, if all molecules have one in 3-D,
    else ``[n, 0]``. Bonds are listed in both directions.

    Parameters
    ----------
    molecules
        Objects `rdkit.Chem.Mol`, sanitised; they are not changed.
    hydrogens
        Whether hydrogens that are atoms of a molecule become nodes.

    Raises
    ------
    ValueError
        If there is no molecule, one has no atom, cannot be kekulised, or has a bond other than single, double
        and triple.
    ImportError
        If RDKit is not installed.
    """
    chem = chemistry()
    from rdkit import rdBase

    with rdBase.BlockLogs():
        return graphs_of([_table(chem, molecule, i, hydrogens) for i, molecule in enumerate(molecules)])


@dataclass(frozen=True, slots=True)
class Table:
    """Atoms and bonds of one molecule.

    Parameters
    ----------
    atoms
        Type of each atom.
    ends, bonds
        Ends of each bond, and its type.
    places
        Position of each atom in angstrom, or None.
    lost
        What of the molecule is not kept, in words.
    """

    atoms: list[str]
    ends: list[tuple[int, int]]
    bonds: list[int]
    places: list[list[float]] | None
    lost: set[str]


def _table(chem: Any, molecule: Any, number: int, hydrogens: bool) -> Table:
    try:
        return table_of(chem, molecule, hydrogens)
    except ValueError as error:
        raise ValueError(f"molecule {number}: {error}") from error


def table_of(chem: Any, molecule: Any, hydrogens: bool) -> Table:
    """Return the atoms and bonds of a sanitised molecule, kekulised.

    Raises
    ------
    ValueError
        If it has no atom, cannot be kekulised, or has a bond of another kind.
    """
    if molecule is None:
        raise ValueError("it is None: RDKit could not read it; leave it out.")
    plain, lost = chem.Mol(molecule), set()
    try:
        if not hydrogens and plain.GetNumHeavyAtoms() < plain.GetNumAtoms():
            lost = _cleared(chem, plain)
            plain = chem.RemoveHs(plain)
        chem.Kekulize(plain, clearAromaticFlags=True)
    except ValueError as error:
        raise ValueError(f"it cannot be kekulised ({first_line(error)}); correct it.") from error
    atoms = _atoms(chem, plain, lost)
    kinds = {chem.BondType.SINGLE: 0, chem.BondType.DOUBLE: 1, chem.BondType.TRIPLE: 2}
    ends, bonds = [], []
    for i in range(plain.GetNumBonds()):
        bond = plain.GetBondWithIdx(i)
        kind = kinds.get(bond.GetBondType())
        if kind is None:
            raise ValueError(f"it has a bond of the kind {str(bond.GetBondType()).lower()}; leave it out.")
        if bond.GetStereo() not in _no_stereo(chem):
            lost.add("stereochemistry")
        ends.append((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()))
        bonds.append(kind)
    places = None
    if plain.GetNumConformers() and plain.GetConformer().Is3D():
        places = plain.GetConformer().GetPositions().tolist()
    return Table(atoms, ends, bonds, places, lost)


def _cleared(chem: Any, molecule: Any) -> set[str]:
    """Clear isotopes and stereochemistry, for which RDKit would keep hydrogens, and return what was there."""
    lost = set()
    for atom in molecule.GetAtoms():
        if atom.GetChiralTag() != chem.ChiralType.CHI_UNSPECIFIED:
            lost.add("stereochemistry")
        if atom.GetIsotope():
            lost.add("isotopes")
            atom.SetIsotope(0)
    if any(bond.GetStereo() not in _no_stereo(chem) for bond in molecule.GetBonds()):
        lost.add("stereochemistry")
    chem.RemoveStereochemistry(molecule)
    return lost


def _no_stereo(chem: Any) -> tuple[Any, Any]:
    return chem.BondStereo.STEREONONE, chem.BondStereo.STEREOANY


def _atoms(chem: Any, plain: Any, lost: set[str]) -> list[str]:
    """Types of the atoms of a kekulised molecule, whose numbers of hydrogens are set aside."""
    atoms = [plain.GetAtomWithIdx(i) for i in range(plain.GetNumAtoms())]
    if not atoms:
        raise ValueError("it has no atoms; leave it out.")
    flat = chem.ChiralType.CHI_UNSPECIFIED
    names, bracketed = [], []
    for atom in atoms:
        names.append(_type(atom.GetSymbol(), atom.GetFormalCharge()))
        if atom.GetIsotope():
            lost.add("isotopes")
        if atom.GetChiralTag() != flat:
            lost.add("stereochemistry")
        if not atom.GetNoImplicit():  # written without brackets: hydrogens fill the valence
            continue
        if atom.GetNumRadicalElectrons():
            lost.add("unpaired electrons")
        else:
            bracketed.append((atom, atom.GetTotalNumHs()))
            atom.SetNoImplicit(False)
            atom.SetNumExplicitHs(0)
    if bracketed:
        plain.UpdatePropertyCache(False)
        if any(atom.GetTotalNumHs() != count for atom, count in bracketed):
            lost.add("numbers of hydrogens")
    return names


def graphs_of(tables: Sequence[Table]) -> Graphs:
    """Return molecules as one data set, types of atoms by falling number.

    Raises
    ------
    ValueError
        If there is none.
    """
    if not tables:
        raise ValueError("there are no molecules; give at least one.")
    count = Counter(name for table in tables for name in table.atoms)
    names = tuple(sorted(count, key=lambda name: (-count[name], name)))
    code = {name: i for i, name in enumerate(names)}
    sizes = torch.tensor([0, *(len(table.atoms) for table in tables)])
    ptr = sizes.cumsum(0)
    ends = torch.tensor([end for table in tables for end in table.ends], dtype=torch.int64).reshape(-1, 2)
    bonds = torch.tensor([bond for table in tables for bond in table.bonds], dtype=torch.int64)
    counts = torch.tensor([len(table.ends) for table in tables])
    ends = ends + torch.repeat_interleave(ptr[:-1], counts)[:, None]
    both = torch.stack([ends, ends.flip(1)], dim=1).reshape(-1, 2)  # one after the other: sorted by graph
    pos = torch.zeros(int(ptr[-1]), 0, dtype=torch.float64)
    if all(table.places is not None for table in tables):
        pos = torch.tensor([p for table in tables for p in table.places or ()], dtype=torch.float64)
    return Graphs(
        pos,
        ptr=ptr,
        edge_index=both.T.contiguous(),
        node_type=torch.tensor([code[name] for table in tables for name in table.atoms]),
        edge_type=bonds.repeat_interleave(2),
        node_types=names,
        edge_types=BONDS,
    )


def _type(symbol: str, charge: int) -> str:
    if not charge:
        return symbol
    sign = "+" if charge > 0 else "-"
    return f"{symbol}{sign}{abs(charge) if abs(charge) > 1 else ''}"


def first_line(error: object) -> str:
    """Return the beginning of what an error of a library says, without its full stop."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0][:120].rstrip(". ") if lines else type(error).__name__


# -- back ---------------------------------------------------------------------------------------------------


def to_rdkit(graphs: Graphs) -> list[Any]:
    """Return each graph as a molecule of RDKit, sanitised, or None where it is none.

    None stands for a graph with a self-loop, with two bonds of different types between two atoms, or with an
    atom that has more bonds than its valence allows. Disconnected graphs are molecules of several fragments.
    Positions in 2 or 3 dimensions become a conformer.

    Parameters
    ----------
    graphs
        With atoms by name in `node_types`, and bonds by name in `edge_types`; without types of edges, all
        bonds are single. An edge may be listed in one direction or in both.

    Raises
    ------
    ValueError
        If types of nodes have no names, or a name is no atom or no bond.
    ImportError
        If RDKit is not installed.
    """
    chem = chemistry()
    if graphs.node_type is None or not graphs.node_types:
        raise ValueError("graphs have no node_types, the names of atoms; give them, such as ('C', 'N').")
    if graphs.edge_type is not None and not graphs.edge_types:
        raise ValueError(f"graphs have no edge_types, the names of their bonds; give them, such as {BONDS}.")
    atoms = [_atom(chem, name) for name in graphs.node_types]
    kinds = (chem.BondType.SINGLE, chem.BondType.DOUBLE, chem.BondType.TRIPLE)
    bonds = [kinds[_bond(name)] for name in graphs.edge_types] or [kinds[0]]
    return [_molecule(chem, graph, atoms, bonds) for graph in graphs]


def without_hydrogens(molecules: Iterable[Any]) -> list[Any]:
    """Return molecules of RDKit whose hydrogens are no atoms; None stays, and stands where that fails."""
    chem = chemistry()
    from rdkit import rdBase

    def bare(molecule: Any) -> Any:
        try:
            return None if molecule is None else chem.RemoveHs(molecule)
        except ValueError:
            return None

    with rdBase.BlockLogs():
        return [bare(molecule) for molecule in molecules]


def to_smiles(graphs: Graphs) -> list[str | None]:
    """Return the canonical SMILES of each graph, or None where it is no molecule; see `to_rdkit`."""
    chem = chemistry()
    return [None if molecule is None else chem.MolToSmiles(molecule) for molecule in to_rdkit(graphs)]


def _atom(chem: Any, name: str) -> Any:
    found = _TYPE.fullmatch(name)
    try:
        atom = chem.Atom("*" if found is None else found[1])
    except (RuntimeError, ValueError):
        found = None
    if found is None:
        raise ValueError(f"node_types must be atoms such as 'C' or 'N+', got {name!r}.")
    if found[2]:
        atom.SetFormalCharge(int(found[2] + (found[3] or "1")))
    return atom


def _bond(name: str) -> int:
    if name not in BONDS:
        raise ValueError(f"edge_types must be bonds, {', '.join(BONDS)}, got {name!r}.")
    return BONDS.index(name)


def _molecule(chem: Any, graph: Graphs, atoms: Sequence[Any], bonds: Sequence[Any]) -> Any:
    from rdkit import rdBase

    assert graph.node_type is not None
    out = chem.RWMol()
    for kind in graph.node_type.tolist():
        out.AddAtom(atoms[kind])
    edges = [] if graph.edge_index is None else graph.edge_index.T.tolist()
    kinds = [0] * len(edges) if graph.edge_type is None else graph.edge_type.tolist()
    found: dict[tuple[int, int], int] = {}
    for (i, j), kind in zip(edges, kinds, strict=True):
        if i == j or found.setdefault((min(i, j), max(i, j)), kind) != kind:
            return None
    for (i, j), kind in found.items():
        out.AddBond(i, j, bonds[kind])
    with rdBase.BlockLogs():
        try:
            chem.SanitizeMol(out)
        except ValueError:
            return None
    if graph.dim in (2, 3):
        out.AddConformer(_conformer(chem, graph))
    return out.GetMol()


def _conformer(chem: Any, graph: Graphs) -> Any:
    conformer = chem.Conformer(graph.num_nodes)
    conformer.Set3D(graph.dim == 3)
    for i, place in enumerate(graph.coordinates.tolist()):
        conformer.SetAtomPosition(i, [*place, 0.0][:3])
    return conformer
