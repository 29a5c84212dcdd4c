"""The native backend: one LLVM function for a whole step. Needs the extra `native`.

    program   lower : Graph -> LlvmProgram, its instances, calls back to Python       start here
    entry     the step in the cache, found by its graph
    written   the step on paper: the plan, places in memory, the text
    planner   nodes -> calls of kernels on tensors                                    what becomes of each op
      region, schedule, loops, nest, vectors     loop kernels: elementwise ops, reductions and what joins them
      products, matmul/, epilogue                matrix products, and what follows them in registers
      convolution, sliding, spreading, pooling   windows: products of them, sums of them, the largest of them
      folding                                    sums over short rows
      movement, indexing, scans, extremes, sorting, checks, sweeps     the other kernels, in a table by op
      factorisation, panels                      triangles of matrices, and systems with them
      maths/                                     an op on vectors in registers: `elementwise.py` is the table
    buffers   tensors, calls, places by liveness
    step      kernels and calls as one module of IR
    emit, kernel, target, objects                IR as text; a kernel's frame; the machine; how Python lays out arrays
    jit, cache, pool, pool_code                  compile and link; the disk; threads

An op without a kernel is called back. To make it native give it an emitter in `maths/elementwise.py` if it works
element by element, else a kernel in `movement.py`.
"""
