"""The card itself: finding it, its driver, memory, launches and failures."""
