"""Get a model onto a machine fast, whole and proven.

The library is the same as the command line, without the printing: `modelfetch.pull.pull`, `modelfetch.verify.verify`,
`modelfetch.smoke.smoke` and `modelfetch.doctor.doctor` return values and raise `modelfetch.errors.ModelfetchError`.
Importing this package imports none of them.
"""

__version__ = "0.1.0"
