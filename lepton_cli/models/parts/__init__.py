"""What blocks are composed of: token mixers, channel mixers, norms, and their wiring."""
