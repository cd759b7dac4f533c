"""Tiles to defects to storage: the receiving end, the device, the model slot, heat maps to regions."""
