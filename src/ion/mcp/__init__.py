"""Ion as an MCP server: the agent that calls it answers the prompts, one step at a time, and Ion keeps the order.

A face like `cli/`, over the public API alone. `serve` is the program; `tools` what a client may ask (`ion.Engine`
drives the runs), `prompts` workflows as prompts. Only `server` imports the SDK.
"""
