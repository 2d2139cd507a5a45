"""What lepton bench and doctor tell."""
