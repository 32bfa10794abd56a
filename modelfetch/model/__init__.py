"""What a folder of model files holds, what kind of model it is, where it fits and how a child process loads it.

What `smoke`, `chat` and `inspect` share. Judges nothing and prints nothing; torch and transformers are imported in
`child` alone.
"""
