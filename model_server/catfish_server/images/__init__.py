"""Images from requests and addresses: fetched and decoded within limits."""
