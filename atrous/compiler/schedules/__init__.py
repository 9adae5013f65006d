"""How a spec becomes loops: `handles`, `cost` and `build` for a spec and a target."""
