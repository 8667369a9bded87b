"""The command line: a face over the public API, one file for each command.

Loading the modules of a command makes many objects and throws few away, and Python looks for garbage after every few
hundred of them: seldom is enough, which saves a twentieth of a short command. At the end it would look at all of them
once more, twice, only to give back what the system takes anyway: it is told to leave them alone.
"""

import atexit
import gc

gc.set_threshold(50_000, 20, 50)
atexit.register(gc.freeze)
