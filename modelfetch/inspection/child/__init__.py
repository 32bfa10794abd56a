"""The process that asks a tokenizer and weights: the only place here that imports torch and transformers."""
