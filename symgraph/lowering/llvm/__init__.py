"""The native backend: one LLVM function for a whole step. Needs the extra `native`."""
