"""How a module of torch is written in each format of a whole model."""
