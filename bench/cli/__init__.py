"""The command line: one module a command, each thin; `app.py` puts them together.

May import every wing; nothing imports it. Modules load torch only inside the command that needs it.
"""
