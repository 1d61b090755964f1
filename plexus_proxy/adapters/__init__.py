"""Named patches of payloads, for providers that bend a format."""
