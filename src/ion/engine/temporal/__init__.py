"""Runs on a Temporal cluster: the same core inside of a workflow, the same nodes as activities.

The log stays in Ion's own store, which all machines share: showing a run, and asking something of it, reads and writes
there as for every run. Temporal holds the drive: it survives the death of workers and of its own server, keeps time,
and gives a lost turn to another worker. `codec` and `cluster` do not know Temporal; `workflow` is the driver,
`activities` what it has done on workers, `client` and `worker` the two programs.
"""
