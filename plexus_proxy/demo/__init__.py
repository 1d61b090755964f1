"""The built-in provider `demo://`: a small deterministic upstream, so that the first chat needs no
account. It is an HTTP server of its own on a loopback socket and shares nothing with the gateway's
formats, so requests to it walk the whole corridor like any others."""
