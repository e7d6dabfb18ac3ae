"""Both payment gateways as one local server that signs, verifies and keeps books as the real ones do.

Nothing here knows our orders or our tables: what the gateways have booked is an opinion of its own, to compare with.
"""
