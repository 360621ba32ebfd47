"""What runs inside the machine as its process 1: standard library only.

The modules of this package are sent to the machine when it boots (see ``labkit.channel``), so
that the machine image does not change when they do.
"""

SERVERS = "/run/dnsmasq.servers"
"""In the router: the name servers that its own one asks; read again on SIGHUP (dnsmasq(8))."""
