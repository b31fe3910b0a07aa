"""The HTTP API: everything an account can do, as resources under ``/v1``.

It turns requests into commands and reads of the rooms below, and what those say into JSON or problem details; it holds
no rule of its own. The door is ``api.http.app.create_app``.
"""
