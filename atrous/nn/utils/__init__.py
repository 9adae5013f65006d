"""Helpers for training: clipping gradients, flat parameter vectors, weight norm."""
