"""How noise becomes a latent: pure functions of a time grid, a solver, three branches and a row's noise."""
