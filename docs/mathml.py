"""Formulas as MathML, made while building: pages show them without a script or a network."""

from __future__ import annotations

import html
import re
from typing import Any
from xml.etree import ElementTree

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

_SPACE = "http://www.w3.org/1998/Math/MathML"
_ACCENTS = {"ˆ", "ˉ", "˙", "˜", "\u0302", "\u0304"}
ElementTree.register_namespace("", _SPACE)


def _mathml(tex: str, as_block: bool) -> str:
    # Browsers size brackets by themselves.
    tex = re.sub(r"\\[bB]igg?[lr]?(?![a-zA-Z])", "", tex)
    text = tex2mathml(tex, as_block=as_block)
    root = ElementTree.fromstring(re.sub(r"&(?!amp;|lt;|gt;)\w+;", lambda name: html.unescape(name[0]), text))
    for element in root.iter(f"{{{_SPACE}}}munderover"):
        if element[2].text in _ACCENTS:
            _hat_with_index(element)
    return ElementTree.tostring(root, encoding="unicode")


def _hat_with_index(element: ElementTree.Element) -> None:
    """Docutils puts the index of an accented letter under it; put it beside."""
    letter, index, accent = list(element)
    for part in (letter, index, accent):
        element.remove(part)
    element.tag = f"{{{_SPACE}}}msub"
    over = ElementTree.SubElement(element, f"{{{_SPACE}}}mover", accent="true")
    over.extend([letter, accent])
    element.append(index)


def _inline(translator: Any, node: nodes.math) -> None:
    translator.body.append(_mathml(node.astext(), as_block=False))
    raise nodes.SkipNode


def _display(translator: Any, node: nodes.math_block) -> None:
    tex = node.astext().strip()
    if r"\\" in tex:
        tex = rf"\begin{{aligned}}{tex}\end{{aligned}}"
    translator.body.append(translator.starttag(node, "div", CLASS="math"))
    translator.body.append(_mathml(tex, as_block=True) + "</div>\n")
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, bool]:
    """Register the renderer."""
    app.add_html_math_renderer("mathml", (_inline, None), (_display, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
