"""Messages to people, when something happens to an environment: Discord, Slack, Teams, webhooks and e-mail.

Standard library, packed with the agent. Sending never raises, and never takes longer than it is allowed to.
"""
