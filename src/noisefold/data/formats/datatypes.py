"""Types of values in HDF5 files, checked before the library reads them: an unknown one ends the process.

A type of variable length says in four bits whether it is a sequence (0) or a text (1). The library accepts
any other value, and has no function to read it with.

Source: https://docs.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html (IV.A.2.d. The Datatype Message)
"""

from __future__ import annotations

from typing import Any

__all__ = ["check_types"]

_DEEPEST = 8  # levels of types within types
_HEAD = 2  # bytes that the library puts before a type's own


def check_types(item: Any) -> None:
    """Refuse an array or a group of h5py if its type, or that of an attribute, cannot be read.

    Raises
    ------
    ValueError
        If a type is damaged.
    """
    from h5py import h5a

    types = [item.id.get_type()] if hasattr(item, "shape") else []
    types += [h5a.open(item.id, index=i).get_type() for i in range(h5a.get_num_attrs(item.id))]
    if not all(_is_sound(kind, 0) for kind in types):
        raise ValueError(f"the type of {item.name} is none that there is")


def _is_sound(kind: Any, depth: int) -> bool:
    from h5py import h5t

    if depth > _DEEPEST:
        return False
    match kind.get_class():
        case h5t.VLEN:  # texts are of another class here
            sequence = kind.encode()[_HEAD + 1] & 0x0F == 0
            return sequence and _is_sound(kind.get_super(), depth + 1)
        case h5t.ARRAY:
            return _is_sound(kind.get_super(), depth + 1)
        case h5t.COMPOUND:
            members = range(kind.get_nmembers())
            return all(_is_sound(kind.get_member_type(i), depth + 1) for i in members)
    return True
