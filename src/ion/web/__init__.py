"""`ion serve`: a page on this machine to see what runs, and to answer it.

A face like `cli/` and `mcp/`: it reads the store through the public API and shows what `ion.views` says. It keeps
nothing: ended and started again it shows the same, as do two of them at once.
"""
