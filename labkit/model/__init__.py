"""What the facts mean: frozen values and pure functions, with no lab and no picture."""
