"""The child process that holds the model. The only place of `chat` where torch and transformers are imported."""
