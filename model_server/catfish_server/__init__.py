"""The Catfish model server: answers for one image classifier over HTTP."""
