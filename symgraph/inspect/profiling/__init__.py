"""What a run costs: the time of each kernel against what the machine could do, and the memory at its peak.

profile.py  `Executable.profile`, `Session.profile`    machine.py  what the machine can do, measured
work.py     what is profiled, as its caller runs it
chrome.py   a profile as Chrome's trace events         memory.py   `Executable.peak`: whose line, in named sizes
"""
