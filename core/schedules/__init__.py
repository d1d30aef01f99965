"""What happens at a time: reminders and recurring questions, kept as rows and put into the inbox when they are due.

`recurrence.py` is pure: rules, zones, next times. `service.py` understands what people say and lets them confirm it.
`ticker.py` puts what is due into the inbox, where everything holds that holds for messages.
"""
