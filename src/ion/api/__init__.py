"""The verbs of Ion for other programs; the command and the MCP server use nothing else. `import ion` shows them."""
