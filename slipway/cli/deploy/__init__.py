"""One `pulumi up`, followed and shown as it happens."""
