"""The rule and its protocol, pure: no clock, no socket, no log, no settings. Whatever acts is injected (`ports`)."""
