"""What this machine can do at best: the roof that kernels are measured against.

measure : threads -> Machine
"""

from collections.abc import Mapping

import attrs


@attrs.frozen
class Machine:
    """The best that was measured: floating-point operations a second by dtype, bytes a second, and cores.

    `bandwidths` are pairs of a number of bytes and the rate at which that many are streamed, smallest first: what
    fits into a cache is quicker than memory, which is last and is `bandwidth`.
    """

    cores: int
    threads: int
    flops: Mapping[str, float]
    bandwidths: tuple[tuple[int, float], ...]

    @property
    def bandwidth(self) -> float:
        """Bytes a second from and to memory."""
        return self.bandwidths[-1][1]
