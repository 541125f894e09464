"""The real parts that tests run against: one small file for each server.

Each finds its server or gets it, starts it on a free port of the loopback address, and stops it. What
cannot run on this machine skips the tests that need it, and the run's last lines say why.
"""
