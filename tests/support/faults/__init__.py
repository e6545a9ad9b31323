"""What fault tests break things with: services in processes of their own that die where a test wants them to.

`Family` keeps them alive as a container runtime would; `mortal_bus` is the way in at each boundary of a step.
"""
