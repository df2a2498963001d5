"""The engine: what was seen (cache), what to look at (queue), who looks (worker), what was missed."""
