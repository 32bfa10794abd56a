"""The process that loads and runs a model: the only place that imports torch and transformers.

States what it sees as observations and judges nothing; whatever a model raises here becomes an observation too.
"""
