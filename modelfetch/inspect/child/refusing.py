"""The one error of this process that is about the question and not about the model."""

from __future__ import annotations


class Refused(Exception):
    """This cannot be asked of this model; the message is the whole sentence."""
