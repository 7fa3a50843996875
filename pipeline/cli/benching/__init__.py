"""What `millrace bench` is made of.

`provider` the simulated provider (a process of its own), `place` the platform under test, `load` the callers,
`usage` CPU and memory of processes, `runs` what is measured, `report` how it is told.
"""
