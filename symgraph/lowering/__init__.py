"""Backends: each turns an optimised graph into one function."""
