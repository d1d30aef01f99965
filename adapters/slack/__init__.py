"""Slack, on slack-bolt. The library's types end here.

What comes in    socket_mode, signed_http (the two ways), dispatcher (says what is what), parse and events (as values),
                 message and mrkdwn (its words), allow, users, reading_rights, in_flight, redelivery,
                 backfill, context, files
What people do   handlers (what they share), commands, interactions, controls, reactions, home
What goes out    target (where), surface (edited), stream (streamed), ephemeral (private), render, mention_guard
Workspaces       workspace (what is one's own), workspaces (those that installed the app), oauth ("Add to Slack")
Beneath          adapter (its life), web_api (every call), abilities (what Slack lets us), failures, ids, settings,
                 checkup (for doctor);
                 manifest.yaml is the app
"""
