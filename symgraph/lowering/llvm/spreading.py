"""Windows added up: each pixel times the kernel, into the images that it came from.

Where images have few channels, or windows go in steps, the gradient by the images is not written as a convolution,
which would leave lanes empty or multiply zeros: for each row of pixels the products with one row of the kernel, all
its columns and channels side by side in the lanes, are kept in scratch, and from there added to a row of the images.
"""

from functools import lru_cache

import attrs

from symgraph.lowering.llvm.emit import I64, Builder, Type, Value, integer
from symgraph.lowering.llvm.kernel import Kernel, close, open_kernel
from symgraph.lowering.llvm.matmul.packing import Panel, first_lanes
from symgraph.lowering.llvm.matmul.spans import Span, at, loop, plus, shifted
from symgraph.lowering.llvm.region import memory_type
from symgraph.lowering.llvm.sliding import Block, Sums, block_of, loop_over, share
from symgraph.lowering.llvm.target import Target
from symgraph.lowering.llvm.vectors import fill, power_of_two
from symgraph.types import DType

_PIXELS = 14  # that are added to at a time


@attrs.frozen(cache_hash=True)
class Spread:
    """`pixels` is (images, high, wide, channels), with strides `a`; the kernel is [tall, channels, pitch], of whole
    vectors, of which `broad * each` are used; the result is (images, *size, each) in C order.
    """

    pixels: tuple[int, int, int, int]
    a: tuple[int, ...]
    window: tuple[int, int]
    each: int
    pitch: int
    size: tuple[int, int]
    strides: tuple[int, int]
    first: tuple[int, int]  # padding before rows and columns
    dilation: tuple[int, int]
    dtype: DType

    @property
    def margin(self) -> tuple[int, int]:
        """How many pixels before and after those of a row are asked for, by windows that overlap."""
        if self.strides[1] > 1:
            return 0, 0
        reach = (self.window[1] - 1) * self.dilation[1]
        wide, left = self.pixels[2], self.first[1]
        return max(0, reach - left), max(0, self.size[1] + left - wide)


@lru_cache(1024)
def write_spread(s: Spread, target: Target) -> Kernel:
    """The kernel: its arguments are the pixels, the kernel, the result, and scratch."""
    b = Builder()
    pointers = open_kernel(b, 4)
    images, high, wide, channels = s.pixels
    size, lanes = s.dtype.itemsize, target.lanes(s.dtype.itemsize)
    width = s.pitch * size
    chunks, start, stop = share(b, images, images * high * wide * channels * s.window[0] * s.pitch)
    before, after = s.margin
    scratch = (before + wide + after) * width + target.width  # the last vector that is read may reach beyond
    room = pointers[3]
    if chunks > 1:
        room = b.offset(room, b.mul(Value("%chunk", I64), integer(scratch)))
    for begin, count in ((0, before), (before + wide, after)):
        if count:
            fill(b, shifted(b, room, begin * width), (count * s.pitch,), (1,), s.dtype, 0, target)
    block = block_of(1, wide, s.pitch, lanes, target, once=True)
    vector = memory_type(s.dtype, lanes)
    sums = Sums(b, s.dtype, lanes, (channels,), (0, s.a[2], 0), (s.a[3],), (s.pitch,), target.width)

    def image(n: Value) -> None:
        out = at(b, pointers[2], n, s.size[0] * s.size[1] * s.each * size)
        fill(b, out, (s.size[0] * s.size[1] * s.each,), (1,), s.dtype, 0, target)
        x = at(b, pointers[0], n, s.a[0] * size)

        def row(oh: Value) -> None:
            left = at(b, x, oh, s.a[1] * size)

            def tall(kh: Value) -> None:
                right = at(b, pointers[1], kh, channels * width)
                place = plus(b, b.add(_times(b, oh, s.strides[0]), _times(b, kh, s.dilation[0])), -s.first[0])
                inside = b.bits(
                    "and",
                    b.compare("ge", place, integer(0)),
                    b.compare("lt", place, integer(s.size[0])),
                )
                with b.when(inside):
                    _products(
                        b, s, sums, block, vector, left, right, shifted(b, room, before * width), target
                    )
                    _add(b, s, room, at(b, out, place, s.size[1] * s.each * size), lanes)

            loop_over(b, integer(0), integer(s.window[0]), tall)

        loop_over(b, integer(0), integer(high), row)

    loop_over(b, start, stop, image)
    return close(b, chunks, scratch * chunks)


def _times(b: Builder, x: Value, number: int) -> Value:
    return x if number == 1 else b.mul(x, integer(number))


def _products(
    b: Builder,
    s: Spread,
    sums: Sums,
    block: Block,
    vector: Type,
    left: Value,
    right: Value,
    room: Value,
    target: Target,
) -> None:
    """A row of pixels times a row of the kernel, into scratch."""
    size, lanes = s.dtype.itemsize, vector.lanes

    def panel(column: Value, columns: int) -> None:
        part = Panel(vector, columns // lanes, lanes)
        from_, into = at(b, right, column, size), at(b, room, column, size)

        def pixels(first: Value, broad: int) -> None:
            made = sums.make(at(b, left, first, s.a[2] * size), from_, 1, broad, part)
            place = at(b, into, first, s.pitch * size)
            for k, acc in enumerate(made):
                j, v = divmod(k, part.vectors)
                b.store(acc, shifted(b, place, (j * s.pitch + v * lanes) * size), align=target.width)

        Span(integer(0), integer(s.pixels[2]), s.pixels[2], block.broad).visit(b, pixels)

    Span(integer(0), integer(s.pitch), s.pitch, block.vectors * lanes).visit(b, panel)


def _add(b: Builder, s: Spread, room: Value, out: Value, lanes: int) -> None:
    """The products in scratch, added to the row of images at `out`; lanes are channels."""
    size = s.dtype.itemsize
    lanes = min(lanes, power_of_two(s.each))
    full, rest = divmod(s.each, lanes)
    parts = [(v * lanes, None) for v in range(full)] + (
        [(full * lanes, first_lanes(rest, lanes))] if rest else []
    )
    type_ = memory_type(s.dtype, lanes)
    broad, step, spread, left = s.window[1], s.strides[1], s.dilation[1], s.first[1]
    before, _ = s.margin

    def gathered(first: Value, pixels: int) -> None:
        # All are read before the first is written: a masked store keeps up what is read beside it.
        made = [(pixel, *part) for pixel in range(pixels) for part in parts]
        sums = [total(plus(b, first, pixel), offset, mask) for pixel, offset, mask in made]
        for (pixel, offset, mask), value in zip(made, sums, strict=True):
            b.store(value, place(plus(b, first, pixel), offset), mask)

    def place(iw: Value, offset: int) -> Value:
        return shifted(b, at(b, out, iw, s.each * size), offset * size)

    def total(iw: Value, offset: int, mask: Value | None) -> Value:
        # Product j of a row of pixels is at j + before: iw + left - kw * spread is never outside the margins.
        row, value = at(b, room, iw, s.pitch * size), b.load(type_, place(iw, offset), mask)
        for kw in range(broad):
            index = (left - kw * spread + before) * s.pitch + kw * s.each + offset
            value = b.add(value, b.load(type_, shifted(b, row, index * size)))
        return value

    if step == 1:
        Span(integer(0), integer(s.size[1]), s.size[1], max(1, _PIXELS // len(parts))).visit(b, gathered)
        return
    for kw in range(broad):
        low = max(0, -(-(left - kw * spread) // step))
        high = min(s.pixels[2], (s.size[1] - 1 + left - kw * spread) // step + 1)

        def scattered(ow: Value, kw: int = kw) -> None:
            for offset, mask in parts:
                index = kw * s.each + offset
                x = b.load(type_, shifted(b, at(b, room, ow, s.pitch * size), index * size))
                to = at(b, out, ow, step * s.each * size)
                to = shifted(b, to, ((kw * spread - left) * s.each + offset) * size)
                b.store(b.add(b.load(type_, to, mask), x), to, mask)

        if low < high:
            loop(b, integer(low), integer(high), 1, scattered)
