"""Measurements for `lepton bench`, findings for `lepton doctor`, and warm-up."""
