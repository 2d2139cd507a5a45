"""Lepton's own files: ownership checks, and atomic replacement."""
