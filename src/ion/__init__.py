"""Ion: a portable workflow engine for agent and shell work."""

__version__ = "0.1.0"
