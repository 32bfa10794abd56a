"""`convert FOLDER FILE TARGET`: make a folder of safetensors of a GGUF file: weights, tokenizer, configuration."""

from __future__ import annotations

import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig


def main() -> None:
    """Convert in bfloat16, the type most models are published in."""
    folder, gguf_file, target = sys.argv[1:4]
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=gguf_file, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(
        folder,
        gguf_file=gguf_file,
        dtype=torch.bfloat16,
        local_files_only=True,
        # Without this the weights stay packed in memory, and packed weights cannot be saved.
        quantization_config=GgufConfig(dequantize=True),
    )
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


if __name__ == "__main__":
    main()
