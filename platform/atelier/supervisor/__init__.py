"""Keeps child processes alive, and leaves none behind. It knows nothing of what they do.

Three things end a child whose supervisor is gone, because each has a gap that another one closes:

- `stop` asks each leader to end, waits, and kills what is left of its process group;
- on Linux the kernel kills a leader whose supervisor has died, however that died (`tether`);
- a witness, the last to go, kills the groups of a supervisor that was itself killed (`witness`): the leaders' own
  children, and everything where the kernel offers no such tie.
"""
