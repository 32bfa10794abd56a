"""Scripts that run in a process of their own, because native code may abort or hang. Standard library only."""
