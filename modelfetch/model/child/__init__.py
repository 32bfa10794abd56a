"""What children that load a model share: the places that import torch and transformers."""
