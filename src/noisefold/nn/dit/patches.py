r"""Images cut into patches, and linear maps of patches of several sizes.

A patch of p x p pixels of c channels is a row of p p c numbers. One kernel for all sizes is that of the
largest, P, resized. Let :math:`R_p` be the linear map from P x P pixels to means over p x p areas. The kernel
of the tokens becomes :math:`w_p = (R_p^T)^+ w`, so that a patch and the same patch with every pixel repeated
have the same token, and the patch that a token answers :math:`R_p y`. Both are exact at the largest size. Or
else each size has a kernel of its own.

Source: Beyer et al., FlexiViT (2023), section 3.4, https://arxiv.org/abs/2212.08013, which
resizes bilinearly.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from noisefold.geometry.gp import pseudo_inverse

__all__ = ["PatchEmbedding", "PatchHead", "cut", "joined", "patch_positions", "resize_matrix"]


def cut(images: Tensor, size: int) -> Tensor:
    """Return images ``[g, c, h, w]`` as patches ``[g, H, W, p p c]``, padded by zeros at bottom and right."""
    images = images.permute(0, 2, 3, 1)
    g, h, w, c = images.shape
    rows, columns = -(-h // size), -(-w // size)
    if (rows * size, columns * size) != (h, w):
        images = functional.pad(images, (0, 0, 0, columns * size - w, 0, rows * size - h))
    parts = images.reshape(g, rows, size, columns, size * c)
    return parts.transpose(2, 3).reshape(g, rows, columns, size * size * c)


def joined(patches: Tensor, size: int, height: int, width: int) -> Tensor:
    """Return patches ``[g, H, W, p p c]`` as images ``[g, c, height, width]``, without what was padded."""
    g, rows, columns, _ = patches.shape
    parts = patches.view(g, rows, columns, size, -1).transpose(2, 3)
    images = parts.reshape(g, rows * size, columns * size, -1)[:, :height, :width]
    return images.permute(0, 3, 1, 2)


def patch_positions(rows: int, columns: int, size: int, like: Tensor) -> Tensor:
    """Return the (row, column) of the patches' centres from the image's corner, in pixels, ``[H, W, 2]``."""
    places = [(torch.arange(n, device=like.device, dtype=like.dtype) + 0.5) * size for n in (rows, columns)]
    return torch.stack(torch.meshgrid(*places, indexing="ij"), -1)


def resize_matrix(old: int, new: int) -> Tensor:
    """Return the map from old x old pixels to means over new x new areas, ``[new new, old old]``, float64."""
    basis = torch.eye(old * old, dtype=torch.float64).view(-1, 1, old, old)
    return functional.adaptive_avg_pool2d(basis, new).flatten(1).T.contiguous()


class _Kernels(nn.Module):
    """Kernels ``[p p c, width]`` for patches of several sizes, one for all or one for each.

    Parameters
    ----------
    channels, width
        Columns of a pixel and of a token.
    sizes
        Sides of the patches.
    shared
        Whether one kernel is resized to all.
    inputs
        Whether patches are what is mapped, or else what the map gives.
    """

    def __init__(self, channels: int, width: int, sizes: tuple[int, ...], shared: bool, inputs: bool) -> None:
        super().__init__()
        self.channels, self.shared, self.inputs = channels, shared, inputs
        self.sizes = tuple(sorted(set(sizes), reverse=True))
        own = self.sizes[:1] if shared else self.sizes
        self.kernels = nn.ParameterList(torch.zeros(size * size * channels, width) for size in own)
        for i, size in enumerate(self.sizes if shared else ()):
            matrix = resize_matrix(self.sizes[0], size)
            matrix = pseudo_inverse(matrix.T) if inputs else matrix
            self.register_buffer(f"resize{i}", matrix.float(), persistent=False)

    def of(self, size: int) -> Tensor:
        """Return the kernel of patches of this side, ``[p p c, width]``."""
        i = self.sizes.index(size)
        if not self.shared or i == 0:
            kernel: Tensor = self.kernels[i]
            return kernel
        native = self.kernels[0].unflatten(0, (-1, self.channels))
        return torch.einsum("ab,bcd->acd", self.resize_to(i).to(native), native).flatten(0, 1)

    def resize_to(self, index: int) -> Tensor:
        """Return the map from the largest patch to another."""
        matrix: Tensor = getattr(self, f"resize{index}")
        return matrix


class PatchEmbedding(nn.Module):
    """Linear map from patches of several sizes to tokens.

    Shapes:
        - **patches** ``[..., p p channels]``
        - **output** ``[..., width]``

    Parameters
    ----------
    channels, width
        Columns of a pixel and of a token.
    sizes
        Sides of the patches.
    shared
        Whether all sizes share one kernel, resized; or else each has its own.
    """

    def __init__(self, channels: int, width: int, sizes: tuple[int, ...], shared: bool = True) -> None:
        super().__init__()
        self.kernels = _Kernels(channels, width, sizes, shared, inputs=True)
        self.bias = nn.Parameter(torch.zeros(width))
        for kernel in self.kernels.kernels:
            nn.init.xavier_uniform_(kernel)

    def extra_repr(self) -> str:
        """Columns in, by size, and out."""
        inputs = " | ".join(f"{size}x{size}x{self.kernels.channels}" for size in self.kernels.sizes)
        return f"{inputs} -> {len(self.bias)}"

    def forward(self, patches: Tensor, size: int) -> Tensor:
        """Map patches of side `size`."""
        return functional.linear(patches, self.kernels.of(size).T, self.bias)


class PatchHead(nn.Module):
    """Linear map from tokens to patches of several sizes, zero at first.

    Shapes:
        - **tokens** ``[..., width]``
        - **output** ``[..., p p channels]``

    Parameters
    ----------
    width, channels
        Columns of a token and of a pixel.
    sizes, shared
        As of `PatchEmbedding`.
    """

    def __init__(self, width: int, channels: int, sizes: tuple[int, ...], shared: bool = True) -> None:
        super().__init__()
        self.kernels = _Kernels(channels, width, sizes, shared, inputs=False)
        self.bias = nn.Parameter(torch.zeros(channels))

    def extra_repr(self) -> str:
        """Columns in, and out by size."""
        outputs = " | ".join(f"{size}x{size}x{self.kernels.channels}" for size in self.kernels.sizes)
        return f"{self.kernels.kernels[0].shape[1]} -> {outputs}"

    def forward(self, tokens: Tensor, size: int) -> Tensor:
        """Map tokens to patches of side `size`."""
        return functional.linear(tokens, self.kernels.of(size), self.bias.repeat(size * size))
