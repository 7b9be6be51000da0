"""The scripts that write the references need torch and transformers, which the tests do not."""

collect_ignore = [
    "references/make.py",
    "references/make_catalog.py",
    "references/make_drawn.py",
    "references/make_generated.py",
    "references/make_gguf_tokenizers.py",
    "references/make_pipelines.py",
    "references/make_pixels.py",
    "references/make_tokenizers.py",
]
