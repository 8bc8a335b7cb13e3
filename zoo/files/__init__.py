"""Bytes: a safetensors file, its header, its tensors, its manifest. Builds no model."""
