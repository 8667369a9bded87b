"""Ion as an MCP server: the agent that calls it is the agent that answers, one step at a time, and Ion holds the order.

A face like `cli/`, over the public API alone. `serve` is the program; `tools` what a client may ask, `runs` the runs
that this process drives, `prompts` workflows as prompts. The SDK is imported by `server` only.
"""
