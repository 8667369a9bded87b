"""Ion's version, for every room: a plain text, since asking the installed package costs 40 ms."""

VERSION = "0.2.0"
