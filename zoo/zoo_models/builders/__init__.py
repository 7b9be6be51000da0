"""The model families, one file each with one public builder."""
