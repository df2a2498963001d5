"""The `catfish` command: turns weights into what is served, and checks that it answers alike. No server imports it."""
