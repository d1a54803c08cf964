"""Faults: what each kind is, and how it is carried out. When and whom they strike is the engine's."""
