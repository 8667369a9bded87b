"""Everything Ion can do, for other programs; the command and the MCP server use nothing else. `import ion` exports
it."""
