"""The GPU: detection, driver, memory, launches and failures."""
