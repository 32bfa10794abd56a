"""Scripts that run in a process of their own, because native code may abort or hang.

Each stands alone, with nothing but the standard library: the interpreter that runs it need not have modelfetch, and an
isolated one does not even see the files beside it.
"""
