"""Pictures of a workflow's graph: for a terminal, and as text for other programs to draw."""
